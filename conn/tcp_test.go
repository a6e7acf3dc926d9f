package conn_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"smolnet/conn"
	"smolnet/phy"
)

func TestNettestPipe(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		l := connect(t, phy.PipeConfig{})
		c, s := dialled(t, l.a, l.b, addrB)
		return c, s, func() { l.a.Close(); l.b.Close() }, nil
	})
}

func TestNettestLoopback(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		l := connect(t, phy.PipeConfig{})
		c, s := dialled(t, l.a, l.a, netip.MustParseAddr("127.0.0.1"))
		return c, s, func() { l.a.Close(); l.b.Close() }, nil
	})
}

// TestTransfer sends random bytes in random pieces both ways over every kind
// of link.
func TestTransfer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for _, link := range []struct {
		name string
		cfg  phy.PipeConfig
	}{
		{"ethernet", phy.PipeConfig{}},
		{"ip", phy.PipeConfig{Medium: phy.MediumIP}},
		{"small", phy.PipeConfig{Medium: phy.MediumIP, MTU: 1280, Queue: 4}},
		{"large", phy.PipeConfig{MTU: 65535}},
	} {
		for _, at := range []netip.Addr{addrB, addrB6} {
			t.Run(fmt.Sprint(link.name, "/", at), func(t *testing.T) {
				t.Logf("seed %d", seed)
				synctest.Test(t, func(t *testing.T) {
					l := connect(t, link.cfg)
					c, s := dialled(t, l.a, l.b, at)
					transfer(t, rand.New(rand.NewPCG(seed, 1)), c, s)
				})
			})
		}
	}
	for _, at := range []string{"127.0.0.1", "::1", addrA.String(), addrA6.String()} {
		t.Run("local/"+at, func(t *testing.T) {
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, phy.PipeConfig{})
				c, s := dialled(t, l.a, l.a, netip.MustParseAddr(at))
				transfer(t, rand.New(rand.NewPCG(seed, 1)), c, s)
			})
		})
	}
}

// transfer sends random data from each of x and y to the other, and closes.
func transfer(t *testing.T, r *rand.Rand, x, y *conn.TCP) {
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	var wg sync.WaitGroup
	for _, c := range []*conn.TCP{x, y} {
		pieces := rand.New(rand.NewPCG(r.Uint64(), 2))
		wg.Go(func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+pieces.IntN(20_000))
				m, err := c.Write(rest[:n])
				if err != nil || m != n {
					t.Errorf("Write: %d of %d, %v", m, n, err)
				}
				rest = rest[n:]
			}
			if err := c.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
		})
		wg.Go(func() {
			got, err := io.ReadAll(io.MultiReader(c)) // in pieces of its own size
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("read %d bytes, equal %v, %v", len(got), bytes.Equal(got, data), err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, x.Close())
	require.NoError(t, y.Close())
}

func TestAddrs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		c, s := dialled(t, l.a, l.b, addrB)
		require.Equal(t, "tcp", c.LocalAddr().Network())
		require.Equal(t, c.LocalAddr(), s.RemoteAddr())
		require.Equal(t, c.RemoteAddr(), s.LocalAddr())
		require.Equal(t, net.IP{192, 0, 2, 1}, c.LocalAddr().(*net.TCPAddr).IP)
		require.Same(t, c.LocalAddr(), c.LocalAddr())

		require.Equal(t, net.IP{192, 0, 2, 2}, s.LocalAddr().(*net.TCPAddr).IP)

		c, _ = dialled(t, l.a, l.b, addrB6)
		require.Equal(t, net.IP(addrB6.AsSlice()), c.RemoteAddr().(*net.TCPAddr).IP)
	})
}

func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		_, err := c.Write([]byte("question"))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		require.NoError(t, c.CloseWrite(), "the second time, as on Linux")
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "question", string(got))

		_, err = c.Write([]byte("more"))
		requireOpError(t, err, "write", syscall.EPIPE)

		_, err = s.Write([]byte("answer"))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		got, err = io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "answer", string(got))
		requireOpError(t, c.CloseWrite(), "close", syscall.ENOTCONN)
		require.NoError(t, c.Close())
	})
}

func TestCloseWriteEndsBlockedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t, smallBuffers)
		failed := make(chan error)
		go func() {
			_, err := c.Write(make([]byte, 1<<20))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, c.CloseWrite())
		requireOpError(t, <-failed, "write", syscall.EPIPE)
		// What was taken before arrives, and then the end.
		n, err := io.Copy(io.Discard, s)
		require.NoError(t, err)
		require.Positive(t, n)
	})
}

func TestCloseRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		ended := make(chan error)
		go func() {
			_, err := s.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		require.NoError(t, s.CloseRead())
		require.Equal(t, io.EOF, <-ended)
		_, err := s.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)

		_, err = c.Write([]byte("later"))
		require.NoError(t, err)
		synctest.Wait()
		later, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "later", string(later))
		_, err = s.Write([]byte("still"))
		require.NoError(t, err)
		b := make([]byte, 10)
		n, err := c.Read(b)
		require.NoError(t, err)
		require.Equal(t, "still", string(b[:n]))
	})
}

func TestCloseUnblocks(t *testing.T) {
	for _, end := range []struct {
		name string
		of   func(*conn.TCP) error
	}{{"close", (*conn.TCP).Close}, {"abort", (*conn.TCP).Abort}} {
		t.Run(end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, _ := established(t, smallBuffers)
				errs := make(chan error, 4)
				for range 2 { // one waits for data, the other for its turn
					go func() {
						_, err := c.Read(make([]byte, 1))
						errs <- err
					}()
					go func() {
						_, err := c.Write(make([]byte, 1<<20))
						errs <- err
					}()
				}
				synctest.Wait()
				require.NoError(t, end.of(c))
				for range cap(errs) {
					require.ErrorIs(t, <-errs, net.ErrClosed)
				}
				requireOpError(t, c.Close(), "close", net.ErrClosed)
				requireOpError(t, c.Abort(), "close", net.ErrClosed)
				requireOpError(t, c.CloseRead(), "close", net.ErrClosed)
				requireOpError(t, c.CloseWrite(), "close", net.ErrClosed)
				requireOpError(t, c.SetDeadline(time.Time{}), "set", net.ErrClosed)
				requireOpError(t, c.SetNoDelay(true), "set", net.ErrClosed)
				requireOpError(t, c.SetLinger(1), "set", net.ErrClosed)
				_, err := c.Read(nil)
				requireOpError(t, err, "read", net.ErrClosed)
				_, err = c.Write(nil)
				requireOpError(t, err, "write", net.ErrClosed)
			})
		})
	}
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		_, err := c.Write([]byte("last words"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		<-s.Done()

		b := make([]byte, 100)
		n, err := s.Read(b) // what came before the reset is not lost
		require.NoError(t, err)
		require.Equal(t, "last words", string(b[:n]))
		_, err = s.Read(b)
		requireOpError(t, err, "read", syscall.ECONNRESET)
		_, err = s.Write([]byte("x"))
		requireOpError(t, err, "write", syscall.EPIPE)
	})
}

func TestUnreadDataResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		_, err := c.Write([]byte("nobody reads this"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, s.Close())
		_, err = c.Read(make([]byte, 1))
		requireOpError(t, err, "read", syscall.ECONNRESET)
	})
}

func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, l := established(t)
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, c.SetLinger(10))
		start := time.Now()
		require.NoError(t, c.Close())
		require.Less(t, time.Since(start), time.Second, "the peer has acknowledged long ago")
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "x", string(got))

		c, s = dialled(t, l.a, l.b, addrB)
		l.cut(true)
		_, err = c.Write([]byte("y"))
		require.NoError(t, err)
		require.NoError(t, c.SetLinger(10))
		start = time.Now()
		require.NoError(t, c.Close())
		require.Equal(t, 10*time.Second, time.Since(start))
		l.cut(false) // goes on in the background
		got, err = io.ReadAll(s)
		require.NoError(t, err)
		require.Equal(t, "y", string(got))
	})
}

// TestLingerWaitsNoLonger: Close returns in the instant in which the FIN is
// acknowledged, whether or not there was data before it. The first FIN is lost,
// so that Close is asleep by then.
func TestLingerWaitsNoLonger(t *testing.T) {
	for _, written := range []string{"", "acknowledged long before"} {
		t.Run(written, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s, l := established(t)
				_, err := c.Write([]byte(written))
				require.NoError(t, err)
				<-time.After(time.Second)
				require.NoError(t, c.SetLinger(50))
				l.cut(true)
				time.AfterFunc(time.Millisecond, func() { l.cut(false) })
				start := time.Now()
				require.NoError(t, c.Close())
				closed := time.Now()
				require.Less(t, closed.Sub(start), 2*time.Second, "about one retransmission")
				got, err := io.ReadAll(s)
				require.NoError(t, err)
				require.Equal(t, written, string(got))
				require.Equal(t, closed, time.Now())
			})
		})
	}
}

func TestUserTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{Medium: phy.MediumIP}) // no neighbours to be missed
		c, _ := dialled(t, l.a, l.b, addrB)
		require.NoError(t, c.SetUserTimeout(20*time.Second))
		l.cut(true)
		start := time.Now()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		requireOpError(t, err, "read", syscall.ETIMEDOUT)
		require.True(t, err.(net.Error).Timeout())
		require.InDelta(t, 20, time.Since(start).Seconds(), 10)
		select {
		case <-c.Done():
		default:
			t.Error("Done is open after the connection failed")
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		require.NoError(t, c.SetIdleTimeout(20*time.Second))
		start := time.Now()
		for range 3 {
			time.Sleep(19 * time.Second)
			_, err := s.Write([]byte("x"))
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.NoError(t, err)
		}
		_, err := c.Read(make([]byte, 1))
		requireOpError(t, err, "read", syscall.ETIMEDOUT)
		require.InDelta(t, 3*19+20, time.Since(start).Seconds(), 0.1)
		_, err = s.Read(make([]byte, 1))
		requireOpError(t, err, "read", syscall.ECONNRESET)
	})
}

func TestDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		done := c.Done()
		require.NoError(t, s.Close())
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("one side is still open")
		default:
		}
		require.NoError(t, c.CloseWrite())
		<-done
		<-s.Done()
	})
}

func TestInfoAndOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		require.Equal(t, "ESTABLISHED", c.Info().State.String())
		_, err := c.Write(make([]byte, 1000))
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 1000, s.Info().RecvQueue)
		require.NoError(t, c.SetNoDelay(false))
		require.NoError(t, c.SetWriteBuffer(1<<16))
		require.NoError(t, c.SetReadBuffer(1<<16))
		require.NoError(t, c.Close())
		require.Zero(t, c.Info())
	})
}

// TestWritesAreWhole has many goroutines write to one connection.
func TestWritesAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t, smallBuffers)
		const writers, size = 8, 40_000
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				b := bytes.Repeat([]byte{byte(i)}, size)
				var err error
				if i%2 == 0 {
					_, err = c.Write(b)
				} else {
					v := net.Buffers{b[:size/3], b[size/3 : size/2], nil, b[size/2:]}
					var n int64
					n, err = c.WriteBuffers(&v)
					if n != size || len(v) != 0 {
						t.Errorf("WriteBuffers wrote %d and left %d slices", n, len(v))
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		for range writers {
			b := make([]byte, size)
			_, err := io.ReadFull(s, b)
			require.NoError(t, err)
			require.Equal(t, bytes.Repeat(b[:1], size), b)
		}
		wg.Wait()
	})
}

func TestReadFromAndWriteTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{}, smallBuffers)
		c1, s1 := dialled(t, l.a, l.b, addrB)
		c2, s2 := dialled(t, l.b, l.a, addrA)
		data := bytes.Repeat([]byte("0123456789"), 50_000)

		copied := make(chan error, 2)
		go func() { // s1 -> c2: a proxy
			n, err := io.Copy(c2, s1)
			if err == nil && n != int64(len(data)) {
				err = fmt.Errorf("copied %d", n)
			}
			copied <- err
			c2.Close()
		}()
		go func() {
			n, err := c1.ReadFrom(bytes.NewReader(data))
			if err == nil && n != int64(len(data)) {
				err = fmt.Errorf("copied %d", n)
			}
			copied <- err
			c1.Close()
		}()
		got, err := io.ReadAll(s2)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		require.NoError(t, <-copied)
		require.NoError(t, <-copied)

		_, err = c1.ReadFrom(bytes.NewReader(data))
		requireOpError(t, err, "readfrom", net.ErrClosed)
		_, err = c1.WriteTo(io.Discard)
		requireOpError(t, err, "writeto", net.ErrClosed)
	})
}

// TestForeignReaderDoesNotBlock: while ReadFrom waits for its reader, others
// may write and close.
func TestForeignReaderDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t)
		r, w := io.Pipe()
		failed := make(chan error)
		go func() {
			_, err := c.ReadFrom(r)
			failed <- err
		}()
		synctest.Wait()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(s, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		go w.Write([]byte("y"))
		require.ErrorIs(t, <-failed, net.ErrClosed)
		r.Close()
	})
}

func TestNilConnections(t *testing.T) {
	for _, c := range []*conn.TCP{nil, new(conn.TCP)} {
		_, err := c.Read(nil)
		require.Equal(t, syscall.EINVAL, err)
		_, err = c.Write(nil)
		require.Equal(t, syscall.EINVAL, err)
		require.Equal(t, syscall.EINVAL, c.Close())
		require.Equal(t, syscall.EINVAL, c.SetDeadline(time.Time{}))
		require.Nil(t, c.LocalAddr())
		require.Nil(t, c.RemoteAddr())
		require.Zero(t, c.Info())
	}
	for _, c := range []*conn.UDP{nil, new(conn.UDP)} {
		_, err := c.Read(nil)
		require.Equal(t, syscall.EINVAL, err)
		_, err = c.WriteTo(nil, nil)
		require.Equal(t, syscall.EINVAL, err)
		require.Equal(t, syscall.EINVAL, c.Close())
		require.Nil(t, c.LocalAddr())
	}
}

// requireOpError checks that err is what package net's operation op would
// return for the reason target.
func requireOpError(t testing.TB, err error, op string, target error) {
	t.Helper()
	var oe *net.OpError
	require.ErrorAs(t, err, &oe)
	require.Equal(t, op, oe.Op, "%v", err)
	require.ErrorIs(t, err, target)
}

func TestSetTrafficClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := established(t)
		require.NoError(t, c.SetTrafficClass(0xb8))
		for _, class := range []int{-1, 256} {
			require.ErrorIs(t, c.SetTrafficClass(class), syscall.EINVAL)
		}
		require.NoError(t, c.Close())
		require.ErrorIs(t, c.SetTrafficClass(0), net.ErrClosed)
	})
}
