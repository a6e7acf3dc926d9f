package script

import (
	"errors"
	"fmt"
	"io"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

// A fake is a subject with little sense, but something of everything that a
// script can look at: connect sends a SYN with all options; what is written goes
// out at once, and again each second, three times; what arrives is acknowledged
// with a SACK block, twice if it is urgent.
type fake struct {
	env     Env
	cfg     fakeConfig
	info    fakeInfo
	out     []Segment
	next    uint32 // to be sent
	peer    uint32 // expected
	data    []byte
	again   clock.Time
	left    int
	in      []byte
	events  []string
	failure error
	wrong   string // how it breaks its contract
}

type fakeConfig struct {
	MinRTO  time.Duration
	Retries int
	NoDelay bool
	Control congestion.Factory
	Deep    struct{ MaxMSS uint16 }
}

type fakeMode uint8

func (m fakeMode) String() string { return [...]string{"IDLE", "FIN-WAIT-1", "slow start"}[min(m, 2)] }

type fakeInfo struct {
	RTTVar     time.Duration
	SendMSS    int
	Writes     uint64
	Timestamps bool
	Mode       fakeMode
	Control    string
}

func newFake(env Env) (Subject, error) {
	return &fake{env: env, info: fakeInfo{SendMSS: 1460, RTTVar: 57500 * time.Microsecond, Mode: 2, Control: "new reno"}}, nil
}

func (f *fake) Set(now clock.Time, name string, words []string) error {
	if name == "wrong" {
		f.wrong = words[0]
		return nil
	}
	if HasField(&f.cfg, name) {
		return SetField(&f.cfg, name, words)
	}
	return Call(f, now, name, words)
}

// SetPace is there to be called by a script.
func (f *fake) SetPace(now clock.Time, d time.Duration, n int, on bool) error {
	if n < 0 {
		return errors.New("pace below zero")
	}
	f.info.RTTVar, f.info.SendMSS, f.info.Timestamps = d, n, on
	return nil
}

func (f *fake) send(flags wire.TCPFlags, data []byte) {
	s := Segment{Data: data, ECN: ECT0}
	s.Flags, s.Seq, s.Ack, s.Window = flags, f.env.ISS+f.next, f.env.IRS+f.peer, 1000
	if flags.Has(wire.SYN) {
		o := &s.Options
		o.MSS, o.SACKPermitted, o.HasTimestamps, o.TSVal = 1460, true, true, 777
		o.HasWindowScale, o.WindowScale = true, 7
		o.HasFastOpen = true
		o.HasUserTimeout, o.UserTimeout = true, 30
	}
	f.out = append(f.out, s)
}

func (f *fake) Do(now clock.Time, call string) error {
	switch call {
	case "connect", "connect fastopen", "connect fastopen request", "connect fastopen 00112233 mss 9":
		f.send(wire.SYN, nil)
		f.next++
		f.events = append(f.events, "connected")
	case "close":
		f.failure = errno.TimedOut
	case "abort":
		s := Segment{Port: 4000, Cut: 100}
		s.Flags, s.Seq, s.Urgent = wire.RST|wire.URG|wire.ECE|wire.CWR, f.env.ISS+f.next, 7
		f.out = append(f.out, s)
	default:
		return fmt.Errorf("no %s", call)
	}
	return nil
}

func (f *fake) SetMTU(_ clock.Time, n int) error { f.info.SendMSS = n - 40; return nil }

func (f *fake) ICMP(_ clock.Time, m ICMP) error {
	f.failure = m.Err.Err()
	if m.Quotes {
		f.info.Writes = uint64(m.Seq - f.env.ISS)
	}
	return nil
}

func (f *fake) Read(b []byte) (int, error) {
	if len(f.in) == 0 {
		if f.failure != nil {
			return 0, f.failure
		}
		if f.peer > 1000 {
			return 0, io.EOF
		}
		return 0, errno.WouldBlock
	}
	n := copy(b, f.in)
	f.in = f.in[n:]
	return n, nil
}

func (f *fake) Write(b []byte) (int, error) {
	if f.failure != nil {
		return 0, errno.Pipe
	}
	n := min(len(b), 500)
	f.info.Writes++
	f.data = append([]byte(nil), b[:n]...)
	f.left = 4
	f.again = 1
	if n < len(b) {
		return n, errno.WouldBlock
	}
	return n, nil
}

func (f *fake) Receive(now clock.Time, s *Segment) error {
	if s.Flags.Has(wire.FIN | wire.PSH) {
		return errors.New("FIN and PSH are too much")
	}
	f.in = append(f.in, s.Data...)
	f.peer = s.Seq - f.env.IRS + uint32(len(s.Data))
	if s.Flags.Has(wire.SYN) {
		f.peer++
	}
	f.send(wire.ACK, nil)
	o := &f.out[len(f.out)-1].Options
	o.NumSACK = 1
	o.SACK[0] = wire.SACKBlock{Start: f.env.IRS + 5, End: f.env.IRS + 9}
	if s.Flags.Has(wire.URG) {
		f.out = append(f.out, f.out[len(f.out)-1])
	}
	return nil
}

func (f *fake) Send(now clock.Time) (Segment, bool, error) {
	if f.wrong == "error" {
		return Segment{}, false, errors.New("it breaks")
	}
	if f.wrong == "endless" {
		f.send(wire.ACK, nil)
	}
	if f.left > 0 && f.again.Due(now) && f.wrong != "late" {
		f.left--
		f.again = now.Add(time.Second)
		if f.left == 3 {
			f.send(wire.ACK|wire.PSH, f.data)
			f.next += uint32(len(f.data))
		} else {
			f.next -= uint32(len(f.data))
			f.send(wire.ACK|wire.PSH, f.data)
			f.next += uint32(len(f.data))
		}
		if f.wrong == "data" {
			f.data[0]++
		}
	}
	if len(f.out) == 0 {
		return Segment{}, false, nil
	}
	s := f.out[0]
	f.out = f.out[1:]
	return s, true, nil
}

func (f *fake) Deadline() clock.Time {
	if f.left > 0 {
		return f.again
	}
	return 0
}

func (f *fake) Info() any {
	if f.wrong == "blind" {
		return nil
	}
	return f.info
}
func (f *fake) Stats() any { return f.cfg }
func (f *fake) Err() error { return f.failure }

func (f *fake) Events() []string {
	ev := f.events
	f.events = nil
	return ev
}
