package script

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// Bounds on a run.
const (
	burst     = 4096 // segments at one instant
	idleTurns = 10_000
	keepLines = 60 // of the transcript, in a message
	horizon   = 24 * time.Hour

	defaultTolerance = 2 * time.Millisecond
	defaultRTT       = 100 * time.Millisecond
	defaultWindow    = 65535
)

// starts are the numbers with which each script is run, unless it chooses some
// itself: nothing may depend on them. The second ones wrap early.
var starts = []struct{ iss, irs, stamp uint32 }{
	{1_000_000, 5_000_000, 700_000},
	{0xffff_fff0, 0xffff_fc00, 0xffff_ff80},
}

// A runner runs a script.
type runner struct {
	script *Script
	make   func(Env) (Subject, error)
	env    Env
	stamp  uint32 // the peer's timestamp at the beginning
	start  int    // of starts

	subject   Subject
	now       clock.Time
	tolerance time.Duration
	rtt       time.Duration
	peer      *pattern // options of the peer's SYN

	line  int
	queue []sent
	flows map[uint16]*flow
	last  uint16 // flow of the last segment
	out   []byte // all that the user wrote
	read  int    // bytes that the user read
	heard []string
	log   []string

	cookie string // hex, the last that was given to the peer

	edits  *edits // nil: mismatches are failures
	frozen int    // above zero: in a later turn of a repeat, which has no lines of its own
}

// sent is a segment that the connection has sent.
type sent struct {
	Segment
	at    clock.Time
	fresh bool // nothing but the next data
}

// A flow is the numbers of a connection.
type flow struct {
	iss, irs   uint32
	issKnown   bool
	ours, peer uint32 // next numbers, relative
	acked      uint32 // the peer's greatest acknowledgment, relative
	stamp      uint32 // our timestamps' value when the script began
	stampKnown bool
	lastVal    uint32 // our last timestamp
}

// Run runs the script on subjects that newSubject makes. The error is an *Error,
// with a transcript.
func (s *Script) Run(newSubject func(Env) (Subject, error)) error {
	for i := range starts {
		r := s.runner(newSubject, i)
		if err := r.run(); err != nil {
			return err
		}
		if s.chooses() {
			break
		}
	}
	return nil
}

// chooses reports whether the script sets the initial sequence numbers.
func (s *Script) chooses() bool {
	return slices.ContainsFunc(s.steps, func(st step) bool { return st.verb == "iss" || st.verb == "irs" })
}

func (s *Script) runner(newSubject func(Env) (Subject, error), start int) *runner {
	from := starts[start]
	return &runner{
		script: s, make: newSubject, start: start,
		env:   Env{ISS: from.iss, IRS: from.irs, Start: Epoch},
		stamp: from.stamp,
		now:   Epoch, tolerance: defaultTolerance, rtt: defaultRTT,
		peer:  &pattern{times: 1, win: defaultWindow, mss: 1460, wscale: -1, urg: -1, uto: -1},
		flows: make(map[uint16]*flow),
	}
}

func (r *runner) run() error {
	for i := range r.script.steps {
		if err := r.step(&r.script.steps[i]); err != nil {
			return err
		}
	}
	r.line = len(r.script.lines)
	if r.subject == nil {
		return r.failf("the script never comes to a connection")
	}
	if err := r.pump(); err != nil {
		return err
	}
	return r.unexpected(r.line + 1)
}

// failf returns an error with the transcript.
func (r *runner) failf(format string, args ...any) error {
	var b strings.Builder
	fmt.Fprintf(&b, format, args...)
	fmt.Fprintf(&b, "\n\n  %q", r.script.Title)
	if r.start > 0 {
		fmt.Fprintf(&b, ", begun with iss %d, irs %d and the peer's clock at %d", r.env.ISS, r.env.IRS, r.stamp)
	}
	b.WriteString("\n   time   line\n")
	for _, l := range r.log {
		b.WriteString(l + "\n")
	}
	fmt.Fprintf(&b, "%9s  now", r.when(r.now))
	return &Error{r.script.Name, r.line, b.String()}
}

func (r *runner) when(at clock.Time) string {
	if !at.IsSet() {
		return "never"
	}
	return fmt.Sprintf("%.3f", at.Sub(Epoch).Seconds())
}

func (r *runner) note(format string, args ...any) {
	if len(r.log) == keepLines {
		r.log = r.log[:copy(r.log, r.log[1:])]
	}
	r.log = append(r.log, fmt.Sprintf("%9s %5d  ", r.when(r.now), r.line)+fmt.Sprintf(format, args...))
}

// step runs one step.
func (r *runner) step(st *step) error {
	r.line = st.line
	if verbs[st.verb].setting {
		return r.setting(st)
	}
	if r.subject == nil {
		var err error
		if r.subject, err = r.make(r.env); err != nil {
			return r.failf("%v", err)
		}
	}
	switch st.verb {
	case "repeat":
		return r.repeat(st)
	case ">":
		return r.expect(st)
	case "sends":
		return r.sends(st)
	}
	if err := r.arrive(st); err != nil {
		return err
	}
	if !verbs[st.verb].check {
		if err := r.unexpected(st.line); err != nil {
			return err
		}
	}
	r.line = st.line
	err := r.perform(st)
	if r.edits != nil {
		r.edits.last = r.now
	}
	return err
}

// arrive brings the time of a step that does something.
func (r *runner) arrive(st *step) error {
	if st.and {
		return nil
	}
	if err := r.pump(); err != nil {
		return err
	}
	span := st.wait.d
	switch {
	case st.verb == "silent":
		d, _ := time.ParseDuration(st.args[0])
		span += d
	case st.wait.kind == waitNone:
		return nil
	case st.wait.kind == waitAt:
		span = Epoch.Add(st.wait.d).Sub(r.now)
		if span < 0 {
			return r.failf("it is later already")
		}
	}
	to := r.now.Add(span)
	if r.edits == nil {
		return r.pass(to, st.line)
	}
	from := r.edits.last
	err := r.pass(to, st.line)
	if r.edits.last > from {
		r.edits.retime(st, to.Sub(r.edits.last))
	}
	return err
}

// pass lets time pass in silence.
func (r *runner) pass(to clock.Time, line int) error {
	for r.now < to || len(r.queue) > 0 {
		if err := r.unexpected(line); err != nil {
			return err
		}
		if err := r.advance(to); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) repeat(st *step) error {
	for i := range st.times {
		if i == 1 {
			r.frozen++
		}
		for j := range st.body {
			if err := r.step(&st.body[j]); err != nil {
				if e, ok := err.(*Error); ok && i > 0 {
					e.Text = fmt.Sprintf("(turn %d) ", i+1) + e.Text
				}
				return err
			}
		}
	}
	if st.times > 1 {
		r.frozen--
	}
	return nil
}

// pump fetches what is to be sent now.
func (r *runner) pump() error {
	for range burst {
		s, ok, err := r.subject.Send(r.now)
		if err != nil {
			return r.failf("%v", err)
		}
		if !ok {
			if d := r.subject.Deadline(); d.Due(r.now) {
				return r.failf("there is nothing to send, but a deadline is due: %s", r.when(d))
			}
			return nil
		}
		s.Data = slices.Clone(s.Data)
		fresh, err := r.noteSent(&s)
		if err != nil {
			return err
		}
		r.queue = append(r.queue, sent{s, r.now, fresh})
	}
	return r.failf("there is no end to what is sent")
}

// advance lets time pass up to an instant, or until something is sent.
func (r *runner) advance(to clock.Time) error {
	for range idleTurns {
		if err := r.pump(); err != nil || len(r.queue) > 0 {
			return err
		}
		d := r.subject.Deadline()
		if !d.IsSet() || d > to {
			r.now = max(r.now, to)
			return nil
		}
		r.now = d
	}
	return r.failf("%d deadlines and nothing is sent", idleTurns)
}

// unexpected fails if something was sent that no line expects. Updates put it in
// before the line.
func (r *runner) unexpected(line int) error {
	for len(r.queue) > 0 {
		got, at := r.row(maxRow)
		if r.edits == nil || r.frozen > 0 {
			r.line = line
			return r.failf("unexpected segment\n  want nothing\n  got  > %s", r.show(got, at))
		}
		r.queue = r.queue[got.times:]
		var p *pattern
		r.edits.insert(line, r.edits.span(at)+"> "+r.named("to", p.like(got)))
		r.edits.last = at
	}
	return nil
}

// named renders a segment with its port.
func (r *runner) named(preposition string, p *pattern) string {
	s := p.String()
	if p.port != 0 {
		s += " " + preposition + " " + strconv.Itoa(int(p.port))
	}
	return s
}

func (r *runner) show(p *pattern, at clock.Time) string {
	text := r.named("to", p)
	if at != r.now {
		text += " at " + r.when(at)
	}
	return text
}

// row returns the first segment that was sent, and when, together with those behind
// it that a row of at most so many segments has.
func (r *runner) row(most int) (*pattern, clock.Time) {
	const last = wire.PSH | wire.FIN
	p := r.relative(&r.queue[0].Segment)
	at := r.queue[0].at
	for p.times < min(most, len(r.queue)) && p.n > 0 && p.flags&last == 0 {
		s := &r.queue[p.times]
		next, want := r.relative(&s.Segment), *p
		want.times = 1
		want.seq.v += uint32(p.times * p.n)
		want.flags |= next.flags & last
		if s.at != at || want.String() != next.String() {
			break
		}
		p.flags = next.flags
		p.times++
	}
	return p, at
}

// expect is what stands behind >.
func (r *runner) expect(st *step) error {
	if err := r.pump(); err != nil {
		return err
	}
	from, until, exact := r.window(st)
	if r.edits != nil && r.frozen == 0 && st.wait.kind != waitNone {
		until = r.now.Add(horizon)
	}
	if err := r.advance(until); err != nil {
		return err
	}
	text := strings.TrimPrefix(r.named("to", st.segment), " ")
	if len(r.queue) == 0 {
		if r.edits != nil && r.frozen == 0 {
			r.edits.remove(st.line)
			return nil
		}
		return r.failf("nothing was sent\n  want > %s\n  got  nothing until %s, next deadline %s",
			text, r.when(r.now), r.when(r.subject.Deadline()))
	}
	got, at := r.row(st.segment.times)
	want := r.resolve(st.segment)
	diff := want.differences(got)
	if at < from || at > until {
		diff = append(diff, "time: it was expected at "+r.when(exact))
	} else if r.edits != nil && exact.IsSet() && at > exact.Add(r.toleranceOf(st)) {
		diff = append(diff, "time")
	}
	if len(diff) > 0 {
		if r.edits == nil || r.frozen > 0 {
			return r.failf("wrong segment\n  want > %s\n  got  > %s\n  differs in: %s", text, r.show(got, at), strings.Join(diff, ", "))
		}
		got, at = r.row(maxRow)
		out := st.segment.like(got)
		if st.segment.seq.next && want.seq == got.seq {
			out.seq = st.segment.seq
		}
		if st.segment.ack.next && want.ack == got.ack {
			out.ack = st.segment.ack
		}
		r.edits.segment(st, at, r.named("to", out))
	}
	r.queue = r.queue[got.times:]
	if r.edits != nil {
		r.edits.last = r.now
	}
	return nil
}

func (r *runner) toleranceOf(st *step) time.Duration {
	if st.wait.tolerance >= 0 {
		return st.wait.tolerance
	}
	return r.tolerance
}

// window returns when a segment may be sent.
func (r *runner) window(st *step) (from, until, exact clock.Time) {
	tolerance := r.toleranceOf(st)
	switch st.wait.kind {
	case waitSpan:
		exact = r.now.Add(st.wait.d)
	case waitAt:
		exact = Epoch.Add(st.wait.d)
	case waitAny:
		return r.now, r.now.Add(horizon), 0
	default:
		return r.now, r.now, 0
	}
	return exact.Add(-tolerance), exact.Add(tolerance), exact
}

// sends is a span of time, or an instant, in which so many bytes of new data are
// sent, in whatever segments, and nothing else.
func (r *runner) sends(st *step) error {
	if err := r.pump(); err != nil {
		return err
	}
	from := r.now
	_, _, to := r.window(st)
	to = max(to, from)
	want, _ := count(st.args[0])
	total := 0
	for {
		if err := r.advance(to); err != nil {
			return err
		}
		if len(r.queue) == 0 {
			break
		}
		for _, s := range r.queue {
			if !s.fresh {
				return r.failf("sends\n  want new data\n  got  > %s", r.show(r.relative(&s.Segment), s.at))
			}
			total += len(s.Data)
		}
		r.queue = nil
	}
	if r.edits != nil {
		r.edits.last = r.now
	}
	switch {
	case total == want:
	case r.edits == nil || r.frozen > 0:
		return r.failf("sends\n  want %d bytes\n  got  %d bytes", want, total)
	default:
		r.edits.replace(st.line, strings.TrimLeft(st.prefix+" sends "+strconv.Itoa(total), " "))
	}
	return nil
}

// injectRow passes in a segment of the peer, or a row of them.
func (r *runner) injectRow(p *pattern) error {
	for i := range p.times {
		one := *p
		one.times = 1
		if i < p.times-1 {
			one.flags &^= wire.PSH | wire.FIN
		}
		if !p.seq.next {
			one.seq.v += uint32(i * p.n)
		}
		if err := r.inject(&one); err != nil {
			return err
		}
	}
	return nil
}

// inject passes in a segment of the peer.
func (r *runner) inject(p *pattern) error {
	p = r.resolvePeer(p)
	r.note("< %s", r.named("from", p))
	s := r.absolute(p)
	if err := r.subject.Receive(r.now, &s); err != nil {
		return r.failf("%v", err)
	}
	return nil
}

// flow returns the numbers of the connection with a peer's port.
func (r *runner) flow(port uint16) *flow {
	f := r.flows[port]
	if f == nil {
		f = &flow{iss: r.env.ISS, irs: r.env.IRS}
		r.flows[port] = f
	}
	return f
}

// noteSent takes note of a segment, and checks what holds for all. It reports whether
// there is nothing to it but the next data.
func (r *runner) noteSent(s *Segment) (fresh bool, err error) {
	f := r.flow(s.Port)
	if s.Flags.Has(wire.SYN) && !f.issKnown {
		f.iss, f.issKnown = s.Seq, true
	}
	if s.Options.HasTimestamps {
		if !f.stampKnown {
			f.stamp, f.stampKnown = s.Options.TSVal-r.millis(), true
		}
		f.lastVal = s.Options.TSVal
	}
	r.note("> %s", r.named("to", r.relative(s)))
	rel := s.Seq - f.iss
	at := rel
	if !s.Flags.Has(wire.SYN) {
		at--
	}
	if n := len(s.Data); n > 0 {
		if off := int(int32(at)); off < 0 || off+n > len(r.out) || string(r.out[off:off+n]) != string(s.Data) {
			return false, r.failf("these %d bytes at %d are not what the user wrote", n, rel)
		}
	}
	if o := &s.Options; o.HasFastOpen && s.Flags.Has(wire.SYN|wire.ACK) {
		r.cookie = hex.EncodeToString(o.FastOpenCookie[:o.FastOpenLen])
	}
	fresh = rel == f.ours && len(s.Data) > 0 && s.Flags&(wire.SYN|wire.FIN|wire.RST|wire.URG) == 0
	end := rel + uint32(segmentLen(s.Flags, len(s.Data)))
	if !s.Flags.Has(wire.RST) && int32(end-f.ours) > 0 {
		f.ours = end
	}
	r.last = s.Port
	return fresh, nil
}

func segmentLen(flags wire.TCPFlags, n int) int {
	if flags.Has(wire.SYN) {
		n++
	}
	if flags.Has(wire.FIN) {
		n++
	}
	return n
}
