package wire

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// mark ends the part of the page that people write.
const mark = "<!-- From here on written by `make proto`: change the .proto files instead. -->\n"

// files in the order of the page: what clients need first.
var files = []protoreflect.FileDescriptor{
	runnelv1.File_runnel_v1_common_proto, runnelv1.File_runnel_v1_broker_proto, runnelv1.File_runnel_v1_admin_proto,
	runnelv1.File_runnel_v1_placement_proto, runnelv1.File_runnel_v1_peer_proto,
}

// anchor is how GitHub names a heading's place.
func anchor(name string) string { return strings.ToLower(name) }

// page is a page being written.
type page struct {
	strings.Builder
	words comments
	mute  []string // elements that have to have words and have none
}

// Page makes the page anew of what it was and of the repository at root: what people wrote stays.
func Page(root, was string) (string, error) {
	head, _, found := strings.Cut(was, mark)
	if !found {
		return "", fmt.Errorf("the page has no line %q", strings.TrimSpace(mark))
	}
	p := &page{words: comments{}}
	heads := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(root, "proto", f.Path()))
		if err != nil {
			return "", err
		}
		c, err := parse(string(f.Package()), string(text))
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Path(), err)
		}
		heads[f.Path()] = c[""]
		for name, words := range c {
			p.words[name] = words
		}
	}
	p.WriteString(head + mark)
	p.WriteString("\n## Errors\n\n" + p.say(runnelv1.File_runnel_v1_common_proto.Messages().ByName("Error")) + "\n\n")
	p.kinds()
	p.reasons()
	for _, f := range files {
		fmt.Fprintf(p, "\n## %s\n\n%s\n", f.Path(), heads[f.Path()])
		if heads[f.Path()] == "" {
			p.mute = append(p.mute, f.Path())
		}
		for i := range f.Services().Len() {
			p.service(f.Services().Get(i))
		}
		for i := range f.Messages().Len() {
			p.message(f.Messages().Get(i))
		}
	}
	if len(p.mute) > 0 {
		slices.Sort(p.mute)
		return "", errors.New("these have no comment in the .proto files:\n" + strings.Join(slices.Compact(p.mute), "\n"))
	}
	return p.String(), nil
}

// say gives an element's words, fit for a table.
func (p *page) say(d protoreflect.Descriptor) string { return p.words[string(d.FullName())] }

// cell is a text within a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n\n", "<br>"), "|", `\|`)
}

// must is say, of what cannot be understood without words.
func (p *page) must(d protoreflect.Descriptor) string {
	words := p.say(d)
	if words == "" {
		p.mute = append(p.mute, string(d.FullName()))
	}
	return words
}

func (p *page) kinds() {
	p.WriteString("| Kind | What it means |\n|---|---|\n")
	values := runnelv1.ErrorKind(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ { // 0 is never sent
		v := values.Get(i)
		fmt.Fprintf(p, "| %d %s | %s |\n", v.Number(), short(v, "ERROR_KIND_"), cell(p.must(v)))
	}
}

func (p *page) reasons() {
	fmt.Fprintf(p, "\n%s\n\n| Reason | Kind | gRPC status of a failed call | What it means |\n|---|---|---|---|\n", p.must(runnelv1.ErrorReason(0).Descriptor()))
	values := runnelv1.ErrorReason(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		v := values.Get(i)
		e := runnelv1.Errorf(runnelv1.ErrorReason(v.Number()), "x")
		kind := strings.ToLower(strings.TrimPrefix(e.GetKind().String(), "ERROR_KIND_"))
		_, words, _ := strings.Cut(p.must(v), ": ")
		if said := p.say(v); !strings.Contains(said, kind) {
			p.mute = append(p.mute, fmt.Sprintf("%s: its comment says %q and brokers send it as %s", v.FullName(), said, kind))
		} else if strings.Contains(said, kind+" ") { // "retriable for reads, indeterminate for writes" is more than a kind
			words = said
		}
		fmt.Fprintf(p, "| %d %s | %s | %s | %s |\n", v.Number(), short(v, "ERROR_REASON_"), kind, status.Code(runnelv1.ToStatus(e)), cell(words))
	}
}

func short(v protoreflect.EnumValueDescriptor, prefix string) string {
	return "`" + strings.TrimPrefix(string(v.Name()), prefix) + "`"
}

func (p *page) service(s protoreflect.ServiceDescriptor) {
	fmt.Fprintf(p, "\n### Service %s\n\n", s.Name())
	if words := p.say(s); words != "" {
		p.WriteString(words + "\n\n")
	}
	p.WriteString("| Call | Asked with | Answered with | What it does |\n|---|---|---|---|\n")
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		stream := func(is bool, d protoreflect.MessageDescriptor) string {
			if is {
				return "stream of " + link(d)
			}
			return link(d)
		}
		fmt.Fprintf(p, "| `%s` | %s | %s | %s |\n", m.Name(), stream(m.IsStreamingClient(), m.Input()), stream(m.IsStreamingServer(), m.Output()), cell(p.must(m)))
	}
}

func (p *page) message(m protoreflect.MessageDescriptor) {
	if m.IsMapEntry() {
		return
	}
	fmt.Fprintf(p, "\n### %s\n\n", m.Name())
	if words := p.say(m); words != "" && m.Name() != "Error" { // whose words stand above
		p.WriteString(words + "\n\n")
	}
	if m.Fields().Len() == 0 {
		p.WriteString("No fields.\n")
		return
	}
	p.WriteString("| # | Field | Type | |\n|---|---|---|---|\n")
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		words := p.say(f)
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
			words = strings.TrimSpace(fmt.Sprintf("One of `%s`. %s", o.Name(), words))
		}
		fmt.Fprintf(p, "| %d | `%s` | %s | %s |\n", f.Number(), f.Name(), typeOf(f), cell(words))
	}
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", typeOf(f.MapKey()), typeOf(f.MapValue()))
	case f.IsList():
		return "list of " + single(f)
	case f.HasOptionalKeyword():
		return "optional " + single(f)
	}
	return single(f)
}

func single(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return link(f.Message())
	case protoreflect.EnumKind:
		return fmt.Sprintf("[%s](#errors)", f.Enum().Name())
	}
	return f.Kind().String()
}

func link(d protoreflect.MessageDescriptor) string {
	return fmt.Sprintf("[%s](#%s)", d.Name(), anchor(string(d.Name())))
}
