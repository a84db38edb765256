package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// drainSay is how often a drain's progress is told where there is no terminal for a bar.
const drainSay = 10 * time.Second

// drainProgress shows how far a drain is: a bar on a terminal, a line now and then elsewhere; and, once each, why it goes no
// further.
type drainProgress struct {
	w      io.Writer
	broker int32
	bar    *progressbar.ProgressBar // nil: lines

	// The most that there was: replicas come and go and logs grow while a drain is under way.
	replicas int32
	bytes    int64

	said     map[string]bool // reasons
	saidTime time.Time       // of the last for waiting
	last     string          // line
	lastTime time.Time
}

// permille is the bar's end. Bytes and replicas are in the text.
const permille = 1000

func newDrainProgress(a *app, broker int32) *drainProgress {
	p := &drainProgress{w: a.errOut, broker: broker, said: map[string]bool{}}
	if a.errTTY {
		p.bar = progressbar.NewOptions64(permille, progressbar.OptionSetWriter(a.errOut), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(true), progressbar.OptionShowDescriptionAtLineEnd(), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(24), progressbar.OptionSetTheme(progressbar.ThemeASCII))
	}
	return p
}

func (p *drainProgress) show(d *runnelv1.DrainDescription, now time.Time) {
	p.replicas = max(p.replicas, d.GetReplicas())
	p.bytes = max(p.bytes, d.GetBytes())
	for _, s := range p.unsaid(d, now) {
		p.say(s)
	}
	text, done := p.text(d)
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Set64(done) // who closed stderr does not want to know, here and below
		return
	}
	if text != p.last && (now.Sub(p.lastTime) >= drainSay || isEmpty(d)) {
		p.last, p.lastTime = text, now
		_, _ = fmt.Fprintf(p.w, "draining broker %d: %s\n", p.broker, text)
	}
}

// say writes a line of its own, in place of the bar until it is drawn again.
func (p *drainProgress) say(s string) {
	p.end()
	_, _ = fmt.Fprintln(p.w, s)
}

// end leaves the line of a bar empty.
func (p *drainProgress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// text tells how far a drain is, and how much of permille that is. A broker that is not empty never shows the end.
func (p *drainProgress) text(d *runnelv1.DrainDescription) (string, int64) {
	moved := p.replicas - d.GetReplicas()
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s", count(int64(moved)), plural(int64(p.replicas), "replica"))
	part := partOf(permille, int64(moved), int64(p.replicas))
	if p.bytes > 0 {
		done := p.bytes - d.GetBytes() + min(d.GetBytesMovingDone(), d.GetBytes())
		part = partOf(permille, done, p.bytes)
		fmt.Fprintf(&b, " and %s of %s", size(done), size(p.bytes))
	}
	b.WriteString(" moved")
	if n := d.GetMoving(); n > 0 {
		fmt.Fprintf(&b, ", %s moving", count(int64(n)))
	}
	if n := blockedCount(d); n > 0 {
		fmt.Fprintf(&b, ", %s blocked", count(int64(n)))
	}
	if d.GetReplicas() == 0 && d.GetControllerVoter() {
		b.WriteString(", still a voter of the controller")
	}
	if isEmpty(d) {
		return b.String(), permille
	}
	return b.String(), min(permille-1, part)
}

// unsaid are the reasons, for being blocked or waiting, that were not told yet. What moves wait for changes often.
func (p *drainProgress) unsaid(d *runnelv1.DrainDescription, now time.Time) (out []string) {
	say := func(key, text string) {
		if !p.said[key] {
			p.said[key] = true
			out = append(out, text)
		}
	}
	for _, b := range blockedReasons(d) {
		say("blocked "+b.reason, "blocked: "+b.String())
	}
	if now.Sub(p.saidTime) < drainSay {
		return out
	}
	for _, s := range d.GetWaiting() {
		p.saidTime = now
		say("waiting "+s, "waiting: "+s)
	}
	return out
}
