package netsim

import (
	"errors"
	"fmt"
	"io"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// An Ending is what an application does when it has written everything.
type Ending uint8

// The endings.
const (
	// HalfClose: CloseWrite, and Close when the peer's end has come. A server
	// that writes nothing closes only then.
	HalfClose Ending = iota
	// CloseAll: Close at once. What the peer says after that is answered with a
	// reset.
	CloseAll
	// Abort: a reset at once; what is not sent yet is lost.
	Abort
	// Stay: nothing; the connection stays open until Quit, or for ever.
	Stay
)

// retryMemory is after what time a write is tried again that found no memory.
const retryMemory = 10 * time.Millisecond

// An App is an application at one end of a flow. The zero value writes nothing,
// reads what comes, and closes when the peer does.
type App struct {
	// Bytes is how many it writes. Negative: as many as it can, without end.
	Bytes int64
	// WriteChunk is the most bytes of one write. Zero: as many as there is room
	// for.
	WriteChunk int
	// WriteEvery is the time between writes. Zero: it writes whenever there is
	// room.
	WriteEvery time.Duration
	// ReadChunk is the most bytes of one read. Zero: as many as there are.
	ReadChunk int
	// ReadEvery is the time between reads. Zero: it reads whenever there is
	// something.
	ReadEvery time.Duration

	// End is what it does when all is written.
	End Ending
	// Quit is after what time, counted from the flow's start, it does QuitBy,
	// whatever has been written: Stay is taken for Abort. Zero: never.
	Quit   time.Duration
	QuitBy Ending
}

// breaks reports whether the application may leave before it has read everything
// that a peer that writes n bytes has to say, or before all is sent.
func (a *App) breaks(n int64) bool {
	return a.Quit > 0 || a.Bytes < 0 || a.End == Abort || a.End == Stay || a.End == CloseAll && n != 0
}

// An End is an application at work.
type End struct {
	flow  *Flow
	host  *Host
	app   App
	sock  *core.TCP
	peer  *End
	start int // where its content begins

	written   int64
	readTimer bool
	writing   bool // a timer for the next write runs
	eof       bool // all of the peer's content was read
	ended     bool // has done what End says
	client    bool
	closed    bool
	broken    bool // went away with a reset, or before it was connected
	err       error
	in        Transfer
}

// Socket returns the socket, nil before there is one. Once the end is
// [End.Closed] it may be looked at, but not used.
func (e *End) Socket() *core.TCP { return e.sock }

// Written returns how many bytes were written.
func (e *End) Written() int64 { return e.written }

// Read returns how many bytes were read.
func (e *End) Read() int64 { return e.in.Bytes }

// EOF reports whether everything was read, up to the peer's end.
func (e *End) EOF() bool { return e.eof }

// Closed reports whether the application has left.
func (e *End) Closed() bool { return e.closed }

// Err returns what ended the connection other than the applications, nil if
// nothing did.
func (e *End) Err() error { return e.err }

// Info returns what the connection knows of itself, after its end as well. It is
// zero as long as the connection has not been open.
func (e *End) Info() tcp.Info {
	if e.sock == nil || !e.sock.Connected() {
		return tcp.Info{}
	}
	return e.sock.Conn().Info()
}

// Ready implements [core.Waiter].
func (e *End) Ready(tcp.Events) { e.pump() }

// begin starts the application on a connection.
func (e *End) begin(s *core.TCP) {
	e.sock = s
	if e.app.Quit > 0 {
		e.flow.sim.After(e.app.Quit-e.flow.sim.now.Sub(e.flow.began), e.quit)
	}
	e.pump()
}

// pump reads and writes what is to be read and written now.
func (e *End) pump() {
	if e.closed || e.sock == nil {
		return
	}
	if !e.readTimer {
		e.read()
	}
	if !e.closed && !e.writing {
		e.write()
	}
	e.finish()
}

// read reads what there is, or a piece of it.
func (e *End) read() {
	sink := e.flow.sim.content.sink
	if e.app.ReadChunk > 0 {
		sink = sink[:min(e.app.ReadChunk, len(sink))]
	}
	for !e.eof {
		n, err := e.sock.Read(sink)
		if n > 0 {
			e.take(sink[:n])
		}
		switch {
		case err == io.EOF:
			e.eof = true
			return
		case err == errno.WouldBlock:
			return
		case err != nil:
			e.fail(err)
			return
		}
		if e.app.ReadEvery > 0 {
			e.readTimer = true
			e.flow.sim.After(e.app.ReadEvery, e.readAgain)
			return
		}
	}
}

func (e *End) readAgain() {
	e.readTimer = false
	e.pump()
}

// take verifies and counts what was read.
func (e *End) take(b []byte) {
	f := e.flow
	if i := f.sim.content.differs(b, e.peer.start, e.in.Bytes); i >= 0 && f.wrong == nil {
		f.wrong = fmt.Errorf("%v: %s read a wrong byte at offset %d", f, e.host.name, e.in.Bytes+int64(i))
	}
	e.in.add(f.sim.now, len(b))
}

// write writes what there is room for, or a piece of it.
func (e *End) write() {
	c := &e.flow.sim.content
	for !e.ended && (e.app.Bytes < 0 || e.written < e.app.Bytes) {
		b := c.from(e.start, e.written)
		if e.app.Bytes >= 0 {
			b = b[:min(int64(len(b)), e.app.Bytes-e.written)]
		}
		if e.app.WriteChunk > 0 {
			b = b[:min(len(b), e.app.WriteChunk)]
		}
		n, err := e.sock.Write(b)
		e.written += int64(n)
		switch {
		case err == errno.NoBufs:
			e.writeLater(retryMemory)
			return
		case err == errno.WouldBlock:
			return
		case err != nil:
			e.fail(err)
			return
		case e.app.WriteEvery > 0:
			e.writeLater(e.app.WriteEvery)
			return
		}
	}
}

func (e *End) writeLater(d time.Duration) {
	e.writing = true
	e.flow.sim.After(d, e.writeAgain)
}

func (e *End) writeAgain() {
	e.writing = false
	e.pump()
}

// finish ends what has come to its end.
func (e *End) finish() {
	if e.closed {
		return
	}
	if !e.ended && e.app.Bytes >= 0 && e.written >= e.app.Bytes && e.sock.Connected() {
		silent := e.app.Bytes == 0 && !e.client && !e.eof && e.app.End == HalfClose
		if !silent {
			e.end(e.app.End)
		}
	}
	if !e.closed && e.ended && e.eof && e.app.End != Stay {
		e.close()
	}
}

// end does what an ending says.
func (e *End) end(by Ending) {
	e.ended = true
	switch by {
	case HalfClose:
		e.sock.CloseWrite()
	case CloseAll:
		e.close()
	case Abort:
		e.abort()
	}
}

// quit leaves at the time that was set.
func (e *End) quit() {
	switch {
	case e.closed:
	case e.app.QuitBy == Stay:
		e.abort()
	default:
		e.app.End = e.app.QuitBy
		e.end(e.app.QuitBy)
		e.finish()
	}
}

// Abort resets the connection, if it is open.
func (e *End) Abort() {
	if !e.closed && e.sock != nil {
		e.abort()
	}
}

func (e *End) abort() {
	e.closed, e.broken = true, true
	e.sock.Abort()
	e.flow.over()
}

func (e *End) close() {
	e.closed = true
	e.broken = e.broken || !e.sock.Connected()
	e.sock.Close()
	e.flow.over()
}

// fail ends the application with an error.
func (e *End) fail(err error) {
	e.err, e.broken = err, true
	if e.sock == nil {
		e.closed = true
		e.flow.over()
		return
	}
	e.close()
}

// A Transfer is what has come through in one direction of a flow.
type Transfer struct {
	Bytes       int64         // that were read
	Start       clock.Time    // the flow began
	First, Last clock.Time    // when the first and the last byte were read; zero: none was
	Bucket      time.Duration // of Series
	Series      []int64       // bytes that were read in each Bucket since Start, if there is one
}

func (t *Transfer) add(now clock.Time, n int) {
	if t.Bytes == 0 {
		t.First = now
	}
	t.Last = now
	t.Bytes += int64(n)
	if t.Bucket <= 0 {
		return
	}
	i := int(now.Sub(t.Start) / t.Bucket)
	for len(t.Series) <= i {
		t.Series = append(t.Series, 0)
	}
	t.Series[i] += int64(n)
}

// Goodput returns bytes per second, from the flow's start to its last byte; zero
// if there was none.
func (t *Transfer) Goodput() float64 {
	if d := t.Last.Sub(t.Start); t.Bytes > 0 && d > 0 {
		return float64(t.Bytes) / d.Seconds()
	}
	return 0
}

// errUnfinished is a flow that has lost something on its way.
var errUnfinished = errors.New("netsim: not everything was delivered")
