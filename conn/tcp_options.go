package conn

import (
	"net"
	"syscall"
	"time"

	"smolnet/netstack/core"
	"smolnet/netstack/tcp"
)

// The smallest and largest buffers that SetReadBuffer and SetWriteBuffer set;
// what is asked for beyond is moved there, as Linux does.
const (
	minBuffer = 4 << 10
	maxBuffer = 1 << 30
)

// bufferSize returns what becomes of the size that a user asks for.
func bufferSize(n int) int { return min(max(n, minBuffer), maxBuffer) }

// The defaults of net.KeepAliveConfig.
const (
	defaultKeepAliveIdle     = 15 * time.Second
	defaultKeepAliveInterval = 15 * time.Second
	defaultKeepAliveCount    = 9
)

// change runs fn on the connection's machine, on the poll goroutine.
func (c *TCP) change(fn func(*tcp.Conn)) error {
	err := c.st.Do(func(*core.Core) {
		if c.closed.Load() {
			return
		}
		fn(c.s.Conn())
		c.s.Kick()
	})
	if c.closed.Load() {
		err = net.ErrClosed
	}
	return err
}

// set is change for package net's setters, with their error.
func (c *TCP) set(fn func(*tcp.Conn)) error {
	if !c.ok() {
		return errInvalid
	}
	return c.fail("set", "setsockopt", c.change(fn))
}

// SetNoDelay controls whether small segments are sent at once, which is the
// default, or held back while others are unacknowledged (Nagle's algorithm,
// RFC 9293 3.7.4).
func (c *TCP) SetNoDelay(noDelay bool) error {
	return c.set(func(tc *tcp.Conn) { tc.SetNoDelay(noDelay) })
}

// SetCork has only full segments be sent while cork is true, so that what is written
// in pieces goes out whole: with the FIN, 200 ms after it was written, or when it is
// taken back. The default is false. It is Linux's TCP_CORK, and goes before
// SetNoDelay.
func (c *TCP) SetCork(cork bool) error {
	return c.set(func(tc *tcp.Conn) { tc.SetCork(cork) })
}

// SetTrafficClass sets the Differentiated Services field (RFC 2474) of the
// packets that are sent from now on: IPv4's type of service, IPv6's traffic
// class. Its lower two bits are the stack's and ignored. The error is EINVAL if
// class is not from 0 to 255.
func (c *TCP) SetTrafficClass(class int) error {
	if class < 0 || class > 255 {
		return c.fail("set", "setsockopt", syscall.EINVAL)
	}
	return c.set(func(*tcp.Conn) { c.s.SetTrafficClass(uint8(class)) })
}

// SetUserTimeout sets how long written data may stay unacknowledged, or find no
// window, before the connection fails with ETIMEDOUT (RFC 5482). Zero: the
// number of retransmissions decides.
func (c *TCP) SetUserTimeout(d time.Duration) error {
	return c.set(func(tc *tcp.Conn) { tc.SetUserTimeout(c.st.Now(), max(d, 0)) })
}

// SetIdleTimeout has the connection end with ETIMEDOUT, and the peer get a reset, once
// neither side has sent data for d: keep-alives and acknowledgments do not count. Zero
// or negative: never. The stack's TCPConfig.IdleTimeout is where connections begin.
func (c *TCP) SetIdleTimeout(d time.Duration) error {
	return c.set(func(tc *tcp.Conn) { tc.SetIdleTimeout(c.st.Now(), d) })
}

// SetLinger sets what Close does about data that is not acknowledged yet. If
// sec < 0, the default, it is sent in the background. If sec == 0, it is thrown
// away and the peer gets a reset. If sec > 0, Close waits for the peer's
// acknowledgement, at most sec seconds; what is left then is sent in the
// background.
func (c *TCP) SetLinger(sec int) error {
	if !c.ok() {
		return errInvalid
	}
	if c.closed.Load() {
		return c.fail("set", "", net.ErrClosed)
	}
	c.linger.Store(int64(sec))
	return nil
}

// SetKeepAlive switches keep-alive probes on or off. Their times stay as they
// are; if there never were any the first probe goes out after 15 seconds.
func (c *TCP) SetKeepAlive(keepalive bool) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { k.On = keepalive })
}

// SetKeepAlivePeriod sets how long the connection must be idle before the first
// probe, if they are on. Zero means 15 seconds; a negative d changes nothing.
func (c *TCP) SetKeepAlivePeriod(d time.Duration) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { k.Idle = choose(d, defaultKeepAliveIdle, k.Idle) })
}

// SetKeepAliveConfig configures keep-alive probes. Zero fields mean defaults
// (15 s, 15 s, 9); negative ones are left as they are.
func (c *TCP) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.setKeepAlive(func(k *tcp.KeepAlive) { applyKeepAlive(k, config) })
}

func (c *TCP) setKeepAlive(fn func(*tcp.KeepAlive)) error {
	return c.set(func(tc *tcp.Conn) {
		tc.ChangeKeepAlive(c.st.Now(), func(k *tcp.KeepAlive) {
			fn(k)
			if k.On && k.Idle <= 0 {
				k.Idle = defaultKeepAliveIdle
			}
		})
	})
}

func applyKeepAlive(k *tcp.KeepAlive, config net.KeepAliveConfig) {
	k.On = config.Enable
	k.Idle = choose(config.Idle, defaultKeepAliveIdle, k.Idle)
	k.Interval = choose(config.Interval, defaultKeepAliveInterval, k.Interval)
	k.Count = choose(config.Count, defaultKeepAliveCount, k.Count)
}

// choose reads a field in which zero means the default and a negative value
// what there is.
func choose[T int | time.Duration](v, def, old T) T {
	switch {
	case v == 0:
		return def
	case v < 0:
		return old
	}
	return v
}

// KeepAlive returns the settings for connections of st that package net's
// KeepAlive and KeepAliveConfig fields ask for: nil if they are the stack's own.
func KeepAlive(cfg tcp.Config, idle time.Duration, config net.KeepAliveConfig) *tcp.Config {
	k := tcp.KeepAlive{Idle: cfg.KeepAliveIdle, Interval: cfg.KeepAliveInterval, Count: cfg.KeepAliveCount}
	switch {
	case config.Enable:
		applyKeepAlive(&k, config)
		if k.Idle <= 0 { // the stack has them off
			k.Idle = defaultKeepAliveIdle
		}
	case idle == 0:
		return nil
	case idle > 0:
		applyKeepAlive(&k, net.KeepAliveConfig{Enable: true, Idle: idle})
	default:
		k.Idle = 0
	}
	changed := cfg // not cfg itself, which would then be on the heap for a nil, too
	changed.KeepAliveIdle, changed.KeepAliveInterval, changed.KeepAliveCount = k.Idle, k.Interval, k.Count
	return &changed
}

// SetReadBuffer sets how many bytes may have arrived without being read, which
// otherwise grows with what the path needs. What was announced to the peer is not
// taken back.
func (c *TCP) SetReadBuffer(bytes int) error {
	return c.setBuffer(func(tc *tcp.Conn) { tc.SetRecvBuffer(bufferSize(bytes)) })
}

// SetWriteBuffer sets how many bytes may be written without being acknowledged,
// which otherwise grows with what the path needs.
func (c *TCP) SetWriteBuffer(bytes int) error {
	err := c.setBuffer(func(tc *tcp.Conn) { tc.SetSendBuffer(bufferSize(bytes)) })
	if err == nil {
		c.out.signal() // there may be room now
	}
	return err
}

// setBuffer is set for the setters whose errors package net gives no source.
func (c *TCP) setBuffer(fn func(*tcp.Conn)) error {
	if !c.ok() {
		return errInvalid
	}
	err := c.change(fn)
	if err == nil {
		return nil
	}
	return OpError("set", "setsockopt", c.network, nil, &c.ends().local, err)
}

// SetCongestionControl has another congestion controller take over, at any time: "bbr",
// "cubic", "none", "reno", or one of the stack's TCPConfig.Controllers. It goes on with
// the window that there is. A name that nothing has is refused with an error that lists
// those there are, and is errors.Is syscall.ENOENT. It is Linux's TCP_CONGESTION;
// [TCP.Info] tells which one is in use.
func (c *TCP) SetCongestionControl(name string) error {
	if !c.ok() {
		return errInvalid
	}
	f, err := c.st.Congestion(name)
	if err != nil && !c.closed.Load() {
		return c.fail("set", "setsockopt", err)
	}
	return c.set(func(tc *tcp.Conn) { tc.SetCongestion(c.st.Now(), f) })
}
