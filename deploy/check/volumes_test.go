package check

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// foreign are objects that others make: Kubernetes in each namespace, and the user, as values/*.yaml say.
var foreign = []string{"kube-root-ca.crt", "runnel-client-tls", "runnel-peer-tls", "runnel-gossip"}

// volumes checks that what is mounted is there, that what is there is mounted, and that the brokers can write where they must.
func (f *facts) volumes() {
	p := f.set.Spec.Template.Spec
	there := map[string]bool{}
	for _, v := range p.Volumes {
		if there[v.Name] {
			f.bad("volume %s is there twice", v.Name)
		}
		there[v.Name] = true
		f.source(v)
	}
	for _, c := range f.set.Spec.VolumeClaimTemplates {
		there[c.Name] = true
		if c.Spec.Resources.Requests.Storage().IsZero() {
			f.bad("the claim %s asks for no storage", c.Name)
		}
	}
	used := map[string]bool{}
	for _, c := range f.containers() {
		for _, m := range c.VolumeMounts {
			if !there[m.Name] {
				f.bad("container %s mounts %s, which there is not", c.Name, m.Name)
			}
			used[m.Name] = true
			if m.SubPath != "" && !f.holds(m) {
				f.bad("container %s mounts %s of %s, which there is not", c.Name, m.SubPath, m.Name)
			}
		}
		f.reads(c)
	}
	for name := range there {
		if !used[name] {
			f.bad("nobody mounts volume %s", name)
		}
	}
}

// source checks what a volume is made of.
func (f *facts) source(v corev1.Volume) {
	exists := func(kind, name string, ok bool) {
		if !ok && !slices.Contains(foreign, name) {
			f.bad("volume %s: there is no %s %s", v.Name, kind, name)
		}
	}
	if v.ConfigMap != nil {
		_, ok := find[*corev1.ConfigMap](f, v.ConfigMap.Name)
		exists("ConfigMap", v.ConfigMap.Name, ok)
	}
	if v.Secret != nil {
		exists("Secret", v.Secret.SecretName, false)
		if v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440 {
			f.bad("volume %s: others than the broker's group may read the secret", v.Name)
		}
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				_, ok := find[*corev1.ConfigMap](f, s.ConfigMap.Name)
				exists("ConfigMap", s.ConfigMap.Name, ok)
			}
		}
	}
}

// holds tells whether the file that a mount names is in the ConfigMap.
func (f *facts) holds(m corev1.VolumeMount) bool {
	for _, v := range f.set.Spec.Template.Spec.Volumes {
		if v.Name != m.Name || v.ConfigMap == nil {
			continue
		}
		c, ok := find[*corev1.ConfigMap](f, v.ConfigMap.Name)
		if ok {
			_, ok = c.Data[m.SubPath]
		}
		return ok
	}
	return false
}

// reads checks that every absolute path in a container's arguments and in the brokers' file lies in one of the container's mounts, and
// that the data folder is one that can be written.
func (f *facts) reads(c corev1.Container) {
	texts := slices.Clone(c.Args)
	if c.Name == "brokerd" {
		for _, m := range each[*corev1.ConfigMap](f) {
			texts = append(texts, strings.Split(m.Data["brokerd.yaml"], "\n")...)
		}
	}
	for _, text := range texts {
		key, file, ok := strings.Cut(text, ": ")
		if !ok {
			key, file, ok = strings.Cut(text, "=")
		}
		if !ok || !strings.HasPrefix(file, "/") {
			continue
		}
		mount := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return file == m.MountPath || strings.HasPrefix(file, m.MountPath+"/")
		})
		switch writes := key == "data.dir" || key == "--out"; {
		case mount < 0:
			f.bad("container %s: %s is on no volume", c.Name, text)
		case writes && c.VolumeMounts[mount].ReadOnly:
			f.bad("container %s: %s cannot be written", c.Name, text)
		}
	}
}
