package conn

import (
	"io"
	"net"
	"sync"
)

// copySize is how much ReadFrom and WriteTo move at a time.
const copySize = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// ReadFrom implements io.ReaderFrom: it writes what r has until that ends. The
// connection is free for others while r is being read.
func (c *TCP) ReadFrom(r io.Reader) (int64, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	var total int64
	for {
		n, err := r.Read(buf[:])
		if n < 0 || n > len(buf) {
			return total, c.fail("readfrom", "", errInvalidRead)
		}
		if n > 0 {
			m, werr := c.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, c.fail("readfrom", "", werr)
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, c.fail("readfrom", "", err)
		}
	}
}

// WriteTo implements io.WriterTo: it reads until the peer's end and writes it
// all to w. The connection is free for others while w is being written. While
// there is nothing to read it holds no buffer: idle connections that are copied
// from cost no more than others.
func (c *TCP) WriteTo(w io.Writer) (int64, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	var total int64
	for {
		c.awaitReadable()
		n, end, err := c.copyTo(w)
		total += n
		if err != nil {
			return total, c.fail("writeto", "", err)
		}
		if end {
			return total, nil
		}
	}
}

// copyTo reads once and writes what it got to w. It says how much that was, and
// whether it was the end.
func (c *TCP) copyTo(w io.Writer) (written int64, end bool, err error) {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	n, err := c.Read(buf[:])
	if n == 0 {
		if err == io.EOF {
			return 0, true, nil
		}
		return 0, false, err
	}
	m, err := w.Write(buf[:n]) // a Read that got something has no error
	if err == nil && m < n {
		err = io.ErrShortWrite
	}
	return int64(min(max(m, 0), n)), false, err
}

// awaitReadable waits until a Read would not. Another reader may come first.
func (c *TCP) awaitReadable() {
	if c.enter(&c.in) != nil {
		return
	}
	defer c.release(&c.in)
	for c.pending(&c.in) == nil && !c.readShut.Load() && !c.s.Readable() {
		c.wait(&c.in)
	}
}

// WriteBuffers writes all of v, as one Write, and removes from v what it has
// written. The bytes of other Writes do not come in between. (The WriteTo
// method of net.Buffers does the same with a Write for each slice.)
func (c *TCP) WriteBuffers(v *net.Buffers) (int64, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	if err := c.enter(&c.out); err != nil {
		return 0, c.fail("write", "write", err)
	}
	defer c.release(&c.out)
	var total int64
	for len(*v) > 0 {
		n, err := c.write((*v)[0])
		total += int64(n)
		if err != nil {
			(*v)[0] = (*v)[0][n:]
			return total, c.fail("write", "writev", err)
		}
		(*v)[0] = nil
		*v = (*v)[1:]
	}
	return total, nil
}
