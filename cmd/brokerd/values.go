package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/value"
)

// These read a setting within the bounds that its line of the table gives, and strictly, where viper reads what it cannot read as nothing.

func boolean(v *viper.Viper, key string) (bool, error) { return value.Bool(v.GetString(key)) }

func duration(v *viper.Viper, key string) (time.Duration, error) {
	return kindOf(key).Duration(v.GetString(key))
}

func count(v *viper.Viper, key string) (int, error) { return kindOf(key).Number(v.GetString(key)) }

func size(v *viper.Viper, key string) (int64, error) { return kindOf(key).Bytes(v.GetString(key)) }

// word reads one of some words, in small letters.
func word(v *viper.Viper, key string) (string, error) {
	s := v.GetString(key)
	return strings.ToLower(s), kindOf(key).Check(s)
}

// rack is the setting, or the line of the file that rackfile names. An empty file is no rack.
func rack(v *viper.Viper) (string, error) {
	name, file := v.GetString("rack"), v.GetString("rackfile")
	if file == "" {
		return name, nil
	}
	if name != "" {
		return "", fmt.Errorf("%q is given and rackfile too: give one of them", name)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("rackfile: %w", err)
	}
	name = strings.TrimSpace(string(raw))
	if strings.ContainsAny(name, "\r\n") {
		return "", fmt.Errorf("rackfile: %s must hold one line", file)
	}
	return name, nil
}

// kindOf is what a setting of the table holds.
func kindOf(key string) value.Kind {
	for _, s := range settings {
		if s.key == key {
			return s.kind
		}
	}
	panic(fmt.Sprintf("no setting is named %q", key))
}

// didYouMean names the nearest of the known names, if one is near.
func didYouMean(name string, among []string) string {
	if best := value.Nearest(name, among); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; --print-config lists the settings"
}

// tlsFiles reads the names of files, which the broker reads itself.
func tlsFiles(v *viper.Viper) broker.TLS {
	return broker.TLS{
		ClientCert: v.GetString("tls.client.cert"), ClientKey: v.GetString("tls.client.key"), ClientCA: v.GetString("tls.client.ca"),
		ClientAuth: v.GetString("tls.client.auth"),
		PeerCert:   v.GetString("tls.peer.cert"), PeerKey: v.GetString("tls.peer.key"), PeerCA: v.GetString("tls.peer.ca"),
		GossipKeys: v.GetString("gossip.key.file"),
	}
}
