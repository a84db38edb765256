package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// facts are the objects of a manifest, and what is wrong with them.
type facts struct {
	set      *appsv1.StatefulSet
	services []*corev1.Service
	all      []runtime.Object
	wrong    []string
}

func (f *facts) bad(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// problems says what is wrong with a manifest that decodes: what its parts say of each other, and what a cluster of brokers needs.
func problems(objects []runtime.Object) []string {
	f := &facts{all: objects}
	sets := each[*appsv1.StatefulSet](f)
	if len(sets) != 1 {
		return []string{fmt.Sprintf("%d StatefulSets", len(sets))}
	}
	f.set, f.services = sets[0], each[*corev1.Service](f)
	f.names()
	f.statefulSet()
	f.pod()
	f.probes()
	f.volumes()
	f.servicesLead()
	f.accounts()
	f.around()
	return f.wrong
}

func each[T runtime.Object](f *facts) []T {
	var out []T
	for _, o := range f.all {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}

// find tells whether an object of a kind and a name is there.
func find[T runtime.Object](f *facts, name string) (T, bool) {
	for _, o := range each[T](f) {
		if m, err := meta.Accessor(o); err == nil && m.GetName() == name {
			return o, true
		}
	}
	var none T
	return none, false
}

func (f *facts) names() {
	seen := map[string]bool{}
	for _, o := range f.all {
		m, err := meta.Accessor(o)
		if err != nil {
			f.bad("an object without metadata: %v", err)
			continue
		}
		id := fmt.Sprintf("%T %s", o, m.GetName())
		if seen[id] {
			f.bad("%s is there twice", id)
		}
		seen[id] = true
		for _, e := range validation.IsDNS1123Subdomain(m.GetName()) {
			f.bad("%s: name: %s", id, e)
		}
		switch o.(type) {
		case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding:
		default:
			if m.GetNamespace() != namespace {
				f.bad("%s is in the namespace %q", id, m.GetNamespace())
			}
		}
		for k, v := range m.GetLabels() {
			for _, e := range append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...) {
				f.bad("%s: label %s=%s: %s", id, k, v, e)
			}
		}
	}
}

func (f *facts) podLabels() labels.Set { return f.set.Spec.Template.Labels }

// selects checks a selector against the brokers' pods.
func (f *facts) selects(who string, s *metav1.LabelSelector) {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		f.bad("%s: %v", who, err)
		return
	}
	if sel.Empty() || !sel.Matches(f.podLabels()) {
		f.bad("%s: the selector %q does not select the brokers", who, sel)
	}
}

func (f *facts) statefulSet() {
	s := f.set.Spec
	f.selects("StatefulSet", s.Selector)
	if s.PodManagementPolicy != appsv1.ParallelPodManagement {
		f.bad("podManagementPolicy is %q: no founder is ready before all run", s.PodManagementPolicy)
	}
	if s.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType || s.UpdateStrategy.RollingUpdate != nil {
		f.bad("updateStrategy is not RollingUpdate, one by one")
	}
	switch svc, ok := find[*corev1.Service](f, s.ServiceName); {
	case !ok:
		f.bad("serviceName: there is no Service %s", s.ServiceName)
	case svc.Spec.ClusterIP != corev1.ClusterIPNone:
		f.bad("Service %s is not headless: pods have no names", s.ServiceName)
	case !svc.Spec.PublishNotReadyAddresses:
		f.bad("Service %s hides brokers that are not ready: founders never find each other", s.ServiceName)
	}
	if g := s.Template.Spec.TerminationGracePeriodSeconds; g == nil || *g <= 10 {
		f.bad("terminationGracePeriodSeconds must be above the 10 s after which a broker gives up its stop")
	}
}

func (f *facts) containers() []corev1.Container {
	p := f.set.Spec.Template.Spec
	return slices.Concat(p.InitContainers, p.Containers)
}

func (f *facts) pod() {
	p := f.set.Spec.Template.Spec
	s := p.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 || s.FSGroup == nil {
		f.bad("the pod does not run as the image's user 65532 with a group of its volumes")
	}
	if s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		f.bad("the pod has no seccomp profile")
	}
	for _, c := range f.containers() {
		x := c.SecurityContext
		if x == nil || x.AllowPrivilegeEscalation == nil || *x.AllowPrivilegeEscalation || x.ReadOnlyRootFilesystem == nil || !*x.ReadOnlyRootFilesystem ||
			x.Capabilities == nil || !slices.Contains(x.Capabilities.Drop, "ALL") || len(x.Capabilities.Add) > 0 {
			f.bad("container %s may more than it needs", c.Name)
		}
		if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			f.bad("container %s has no request and limit of memory", c.Name)
		}
		if c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()) > 0 {
			f.bad("container %s requests more memory than its limit", c.Name)
		}
		named := map[string]bool{}
		for _, port := range c.Ports {
			if named[port.Name] {
				f.bad("port %s is named twice", port.Name)
			}
			named[port.Name] = true
			for _, e := range validation.IsValidPortName(port.Name) {
				f.bad("port %s: %s", port.Name, e)
			}
		}
	}
	if a := p.Affinity; a != nil && a.PodAntiAffinity != nil {
		for _, t := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			f.selects("antiAffinity", t.LabelSelector)
		}
		for _, t := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			f.selects("antiAffinity", t.PodAffinityTerm.LabelSelector)
		}
	}
	for _, c := range p.TopologySpreadConstraints {
		f.selects("topologySpreadConstraints", c.LabelSelector)
	}
}

// port finds what a name or a number means in the brokers' container.
func (f *facts) port(p intstr.IntOrString, protocol corev1.Protocol) bool {
	for _, c := range f.set.Spec.Template.Spec.Containers {
		for _, have := range c.Ports {
			if cmp.Or(have.Protocol, corev1.ProtocolTCP) == cmp.Or(protocol, corev1.ProtocolTCP) &&
				(p.Type == intstr.String && have.Name == p.StrVal || p.Type == intstr.Int && have.ContainerPort == p.IntVal) {
				return true
			}
		}
	}
	return false
}

// probePaths are what the kubelet asks the brokers, by the probe's name.
func probePaths(s *appsv1.StatefulSet) map[string]*corev1.Probe {
	c := s.Spec.Template.Spec.Containers[0]
	return map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe}
}

func (f *facts) probes() {
	for name, want := range map[string]string{"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz?replicated"} {
		p := probePaths(f.set)[name]
		switch {
		case p == nil || p.HTTPGet == nil:
			f.bad("there is no %s probe", name)
		case p.HTTPGet.Path != want:
			f.bad("the %s probe asks %s, not %s", name, p.HTTPGet.Path, want)
		case !f.port(p.HTTPGet.Port, corev1.ProtocolTCP):
			f.bad("the %s probe asks port %s, which there is not", name, p.HTTPGet.Port.String())
		}
	}
}

func (f *facts) servicesLead() {
	for _, s := range f.services {
		f.selects("Service "+s.Name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		for _, p := range s.Spec.Ports {
			if !f.port(p.TargetPort, p.Protocol) {
				f.bad("Service %s: port %s leads to %s, which there is not", s.Name, p.Name, p.TargetPort.String())
			}
		}
	}
}

func (f *facts) around() {
	budgets := each[*policyv1.PodDisruptionBudget](f)
	if len(budgets) != 1 {
		f.bad("%d PodDisruptionBudgets", len(budgets))
	}
	for _, b := range budgets {
		f.selects("PodDisruptionBudget", b.Spec.Selector)
		if b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.IntValue() != 1 || b.Spec.MinAvailable != nil {
			f.bad("PodDisruptionBudget: more or less than one broker at a time may be taken away")
		}
	}
	for _, n := range each[*networkingv1.NetworkPolicy](f) {
		f.selects("NetworkPolicy", &n.Spec.PodSelector)
		for _, r := range n.Spec.Ingress {
			for _, p := range r.Ports {
				protocol := corev1.ProtocolTCP
				if p.Protocol != nil {
					protocol = *p.Protocol
				}
				if p.Port == nil || !f.port(*p.Port, protocol) {
					f.bad("NetworkPolicy: port %v is none of the brokers'", p.Port)
				}
				if p.Port != nil && (strings.HasPrefix(p.Port.StrVal, "peer") || strings.HasPrefix(p.Port.StrVal, "gossip")) && len(r.From) == 0 {
					f.bad("NetworkPolicy: everyone may reach port %s", p.Port.StrVal)
				}
			}
		}
	}
	for _, m := range each[*monitoringv1.ServiceMonitor](f) {
		f.monitor(m)
	}
}

func (f *facts) monitor(m *monitoringv1.ServiceMonitor) {
	sel, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		f.bad("ServiceMonitor: %v", err)
		return
	}
	var scraped []*corev1.Service
	for _, s := range f.services {
		if sel.Matches(labels.Set(s.Labels)) {
			scraped = append(scraped, s)
		}
	}
	if len(scraped) != 1 {
		f.bad("ServiceMonitor selects %d Services: each broker would be scraped as often", len(scraped))
		return
	}
	for _, e := range m.Spec.Endpoints {
		if !slices.ContainsFunc(scraped[0].Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == e.Port }) {
			f.bad("ServiceMonitor: Service %s has no port %s", scraped[0].Name, e.Port)
		}
	}
}

func (f *facts) accounts() {
	p := f.set.Spec.Template.Spec
	if _, ok := find[*corev1.ServiceAccount](f, p.ServiceAccountName); !ok {
		f.bad("there is no ServiceAccount %s", p.ServiceAccountName)
	}
	if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		f.bad("the brokers get a token of the API")
	}
	bound := false
	for _, b := range each[*rbacv1.ClusterRoleBinding](f) {
		role, ok := find[*rbacv1.ClusterRole](f, b.RoleRef.Name)
		if !ok {
			f.bad("ClusterRoleBinding %s: there is no ClusterRole %s", b.Name, b.RoleRef.Name)
			continue
		}
		for _, s := range b.Subjects {
			if s.Kind != rbacv1.ServiceAccountKind || s.Name != p.ServiceAccountName || s.Namespace != namespace {
				f.bad("ClusterRoleBinding %s binds %s %s, not the brokers' account", b.Name, s.Kind, s.Name)
			}
		}
		for _, r := range role.Rules {
			if !slices.Equal(r.Verbs, []string{"get"}) || !slices.Equal(r.Resources, []string{"nodes"}) || !slices.Equal(r.APIGroups, []string{""}) {
				f.bad("ClusterRole %s allows more than to get a node", role.Name)
			}
			bound = bound || len(b.Subjects) > 0
		}
	}
	for _, c := range p.InitContainers {
		if len(c.Args) > 0 && c.Args[0] == "kubernetes-zone" && !bound {
			f.bad("container %s may not get nodes", c.Name)
		}
	}
}
