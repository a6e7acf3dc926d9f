package script

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

// setting is a line before the connection.
func (r *runner) setting(st *step) error {
	if r.subject != nil {
		return r.failf("%s comes before everything that the connection and its user do", st.verb)
	}
	switch st.verb {
	case "iss", "irs":
		n, _ := parseNumber(st.args[0])
		if st.verb == "iss" {
			r.env.ISS = n.v
		} else {
			r.env.IRS = n.v
		}
	case "tolerance":
		r.tolerance, _ = time.ParseDuration(st.args[0])
	case "rtt":
		r.rtt, _ = time.ParseDuration(st.args[0])
	case "ipv6":
		r.env.V6 = true
	case "room":
		r.env.Room, _ = count(st.args[0])
	case "peer":
		p := *st.segment
		if p.win < 0 {
			p.win = defaultWindow
		}
		r.peer = &p
	}
	return nil
}

// perform does what a step says, now.
func (r *runner) perform(st *step) error {
	if st.verb != "<" {
		r.note("%s %s", st.verb, strings.Join(st.args, " "))
	}
	r.heard = append(r.heard, r.subject.Events()...)
	switch st.verb {
	case "silent":
		return nil
	case "<":
		return r.injectRow(st.segment)
	case "established", "accepted":
		return r.handshake(st.verb == "accepted")
	case "write":
		return r.write(st)
	case "read":
		return r.readBack(st)
	case "info", "stats":
		return r.look(st)
	case "fails", "works":
		return r.lookErr(st)
	case "hears":
		return r.hear(st)
	case "deadline":
		return r.lookDeadline(st)
	}
	if err := r.call(st); err != nil {
		return r.failf("%v", err)
	}
	return nil
}

// call is what the subject does.
func (r *runner) call(st *step) error {
	switch st.verb {
	case "set":
		return r.subject.Set(r.now, st.args[0], st.args[1:])
	case "mtu":
		n, _ := count(st.args[0])
		return r.subject.SetMTU(r.now, n)
	case "icmp":
		return r.subject.ICMP(r.now, r.message(st))
	case "connect":
		// A connection more has numbers of its own.
		clear(r.flows)
		r.out, r.read = nil, 0
	}
	return r.subject.Do(r.now, strings.Join(append([]string{st.verb}, st.args...), " "))
}

func (r *runner) message(st *step) ICMP {
	if st.args[0] == "too-big" {
		n, _ := count(st.args[1])
		return ICMP{MTU: n}
	}
	var m ICMP
	m.Err, _ = ErrorNamed(st.args[0])
	if len(st.args) == 3 {
		n, _ := parseNumber(st.args[2])
		f := r.flow(r.last)
		if n.next {
			n.v = f.ours
		}
		m.Quotes, m.Seq = true, f.iss+n.v
	}
	return m
}

// handshake opens a connection with the options of peer, and rtt.
func (r *runner) handshake(passive bool) error {
	if passive {
		return r.acceptFrom()
	}
	if err := r.subject.Do(r.now, "connect"); err != nil {
		return r.failf("%v", err)
	}
	syn, err := r.handshakeSegment(wire.SYN)
	if err != nil {
		return err
	}
	if err := r.pass(r.now.Add(r.rtt), r.line); err != nil {
		return err
	}
	p := r.offer(syn)
	p.flags |= wire.ACK
	p.ack.v = 1
	if err := r.inject(p); err != nil {
		return err
	}
	_, err = r.handshakeSegment(wire.ACK)
	return err
}

func (r *runner) acceptFrom() error {
	if err := r.subject.Do(r.now, "listen"); err != nil {
		return r.failf("%v", err)
	}
	p := *r.peer
	p.flags = wire.SYN
	if err := r.inject(&p); err != nil {
		return err
	}
	syn, err := r.handshakeSegment(wire.SYN | wire.ACK)
	if err != nil {
		return err
	}
	if err := r.pass(r.now.Add(r.rtt), r.line); err != nil {
		return err
	}
	ack := &pattern{times: 1, flags: wire.ACK, seq: number{v: 1}, ack: number{v: 1}, win: winUnsaid, urg: -1, mss: -1, wscale: -1, uto: -1, ts: syn.ts}
	ack.val.any, ack.ecr.any = true, true
	if err := r.inject(ack); err != nil {
		return err
	}
	if err := r.pump(); err != nil {
		return err
	}
	return r.unexpected(r.line)
}

// offer returns the peer's SYN, with no more options than ours asks for.
func (r *runner) offer(ours *pattern) *pattern {
	p := *r.peer
	p.flags = wire.SYN
	p.ts = p.ts && ours.ts
	p.sackOK = p.sackOK && ours.sackOK
	if ours.wscale < 0 {
		p.wscale = -1
	}
	return &p
}

// handshakeSegment takes the one segment of a handshake that is due now.
func (r *runner) handshakeSegment(flags wire.TCPFlags) (*pattern, error) {
	if err := r.pump(); err != nil {
		return nil, err
	}
	const ecn = wire.ECE | wire.CWR
	if len(r.queue) != 1 || r.queue[0].Flags&^ecn != flags {
		return nil, r.failf("the handshake goes wrong: there should be one segment, with %v", flags)
	}
	p := r.relative(&r.queue[0].Segment)
	r.queue = r.queue[1:]
	return p, nil
}

func (r *runner) write(st *step) error {
	n, _ := count(st.args[0])
	b := make([]byte, n)
	for i := range b {
		b[i] = userByte(len(r.out) + i)
	}
	want, wantErr := n, error(nil)
	if len(st.args) == 3 {
		if st.args[1] == "takes" {
			want, _ = count(st.args[2])
		} else {
			want = 0
			wantErr, _ = ErrorNamed(st.args[2])
		}
	}
	done, err := r.subject.Write(b)
	r.out = append(r.out, b[:done]...)
	if wantErr == nil && errors.Is(err, errno.WouldBlock) && want < n {
		err = nil
	}
	if done != want || ErrorName(err) != ErrorName(wantErr) {
		return r.failf("write\n  want %d bytes, %s\n  got  %d bytes, %s", want, ErrorName(wantErr), done, ErrorName(err))
	}
	return nil
}

// readBack is the user's read. A number of bytes is what is there, at least.
func (r *runner) readBack(st *step) error {
	n, wantErr := 1, error(nil)
	switch st.args[0] {
	case "end":
		wantErr = io.EOF
	case "nothing":
		wantErr = errno.WouldBlock
	case "fails":
		wantErr, _ = ErrorNamed(st.args[1])
	default:
		n, _ = count(st.args[0])
	}
	b := make([]byte, n)
	done, err := 0, error(nil)
	for done < n && err == nil {
		var k int
		k, err = r.subject.Read(b[done:])
		if k == 0 && err == nil {
			err = io.ErrNoProgress
		}
		done += k
	}
	want := n
	if wantErr != nil {
		want = 0
	} else if done == n {
		err = nil
	}
	if done != want || ErrorName(err) != ErrorName(wantErr) {
		return r.failf("read\n  want %d bytes, %s\n  got  %d bytes, %s", want, ErrorName(wantErr), done, ErrorName(err))
	}
	for i := range b[:done] {
		if b[i] != peerByte(uint32(r.read+i)) {
			return r.failf("the byte at %d is not what the peer sent", r.read+i)
		}
	}
	r.read += done
	return nil
}

// look compares fields of the connection's Info, or of the statistics.
func (r *runner) look(st *step) error {
	info := r.subject.Info()
	if st.verb == "stats" {
		info = r.subject.Stats()
	}
	if info == nil {
		return r.failf("there is nothing to look at")
	}
	var wrong []string
	checks := slices.Clone(st.checks)
	for i := range checks {
		k := &checks[i]
		ok, got, err := k.holds(info)
		if err != nil {
			return r.failf("%v", err)
		}
		if ok {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("  want %s %s %s\n  got  %s = %s", k.name, k.op, k.want, k.name, got))
		if k.op == "=" {
			k.want = got
		} else if r.edits != nil {
			return r.failf("%s\n%s\n  only = can be updated", st.verb, wrong[len(wrong)-1])
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	if r.edits == nil || r.frozen > 0 {
		return r.failf("%s\n%s", st.verb, strings.Join(wrong, "\n"))
	}
	r.edits.checks(st, checks)
	return nil
}

func (r *runner) lookErr(st *step) error {
	want := "ok"
	if st.verb == "fails" {
		e, _ := ErrorNamed(st.args[0])
		want = ErrorName(e)
	}
	if got := ErrorName(r.subject.Err()); got != want {
		return r.failf("how the connection fares\n  want %s\n  got  %s", want, got)
	}
	return nil
}

// hear demands events, which then count as heard.
func (r *runner) hear(st *step) error {
	for _, ev := range st.args {
		i := slices.Index(r.heard, ev)
		if i < 0 {
			return r.failf("hears\n  want %s\n  got  %s", ev, strings.Join(r.heard, " "))
		}
		r.heard = slices.DeleteFunc(r.heard, func(s string) bool { return s == ev })
	}
	return nil
}

func (r *runner) lookDeadline(st *step) error {
	d := r.subject.Deadline()
	got := "never"
	if d.IsSet() {
		got = d.Sub(r.now).String()
	}
	if st.args[0] == "never" || !d.IsSet() {
		if got != st.args[0] {
			return r.failf("deadline\n  want %s\n  got  %s", st.args[0], got)
		}
		return nil
	}
	want, _ := time.ParseDuration(st.args[0])
	if diff := d.Sub(r.now) - want; diff < -r.tolerance || diff > r.tolerance {
		return r.failf("deadline\n  want %s\n  got  %s", want, got)
	}
	return nil
}
