package core_test

// Openings of all kinds at once, on a bad link, with segments of long ago among them.

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/phy"
)

// A mess is clients on one host, and on the other one a server with a small SYN queue on
// port 80, and one on port 81 that holds connections back.
type mess struct {
	*world
	a, b    *host
	random  *rand.Rand
	loss    int      // per cent
	seen    [][]byte // segments of both directions
	clients []*opening
	servers []*server
	held    []*core.TCP
	got     map[*core.TCP]string // of the servers
}

// An opening is a client's connection, and what its user does.
type opening struct {
	c    *core.TCP
	text string // what is yet to be written
	left bool
}

func newMess(t *testing.T, seed uint64) *mess {
	w, a, b := pair(t, fastOpen, halfOpen(4, 3), func(c *core.Config, _ *core.InterfaceConfig) {
		c.Limits.FastOpenPending = 3
		c.TCP.RetransmitLimit = 4
	})
	m := &mess{world: w, a: a, b: b, random: rand.New(rand.NewPCG(seed, 0)), got: make(map[*core.TCP]string)}
	require.NoError(t, b.c.AddRoute(routeVia("10.0.0.0/8", a4)))
	m.servers = []*server{
		b.listen(w.now, core.ListenOptions{Local: port(80), Backlog: 20}),
		b.listen(w.now, core.ListenOptions{Local: port(81), Backlog: 10, Hold: func(s *core.TCP) { m.held = append(m.held, s) }}),
	}
	for _, h := range w.hosts {
		h.lose = func(frame []byte) bool {
			if !isTCP(frame, 0, 0) {
				return false
			}
			if len(m.seen) < 2000 {
				m.seen = append(m.seen, bytes.Clone(frame))
			}
			return m.chance(m.loss)
		}
	}
	return m
}

func (m *mess) chance(percent int) bool { return m.random.IntN(100) < percent }

// dial opens the i-th connection, whose text says so again and again.
func (m *mess) dial(i int) {
	p := uint16(80)
	if m.chance(20) {
		p = 81
	}
	c, err := m.a.c.DialTCP(m.now, core.DialOptions{Remote: at(b4, p), FastOpen: m.chance(70)})
	require.NoError(m.t, err)
	m.clients = append(m.clients, &opening{c: c, text: strings.Repeat(fmt.Sprintf("%04d", i), 1+m.random.IntN(1500))})
}

// repeat has a segment that was seen before arrive once more.
func (m *mess) repeat() {
	old := bytes.Clone(m.seen[m.random.IntN(len(m.seen))])
	for _, h := range m.hosts {
		if hw := h.eth.HardwareAddr(); bytes.Equal(old[:6], hw[:]) {
			h.inbox = append(h.inbox, phy.Frame{Data: old})
		}
	}
}

// use has a client's user do something.
func (m *mess) use(o *opening) {
	switch m.random.IntN(30) {
	default:
		n, _ := o.c.Write([]byte(o.text[:m.random.IntN(len(o.text)+1)]))
		o.text = o.text[n:]
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		_, _ = readAll(o.c)
	case 9, 10, 11:
		o.c.CloseWrite()
		o.text = ""
	case 12, 13, 14:
		o.c.Close()
		o.left = true
	case 15:
		o.c.Abort()
		o.left = true
	}
}

// serve reads what has come for the servers, of which some users leave; with leave all.
func (m *mess) serve(leave bool) {
	for _, srv := range m.servers {
		srv.conns = slices.DeleteFunc(srv.conns, func(s *core.TCP) bool {
			text, err := readAll(s)
			m.got[s] += text
			if text = m.got[s]; len(text) >= 4 {
				require.True(m.t, strings.HasPrefix(strings.Repeat(text[:4], 3000), text), "text of one client, as it was written")
			}
			switch {
			case leave || err != errno.WouldBlock && m.chance(80) || m.chance(2):
				s.Close()
			case m.chance(1):
				s.Abort()
			default:
				if m.chance(10) {
					_, _ = s.Write([]byte("answer"))
				}
				return false
			}
			srv.l.Taken()
			return true
		})
	}
}

// step is one thing that happens, and what follows of it in a while.
func (m *mess) step(i int) {
	if i%50 == 0 {
		m.loss = m.random.IntN(2) * m.random.IntN(50)
	}
	switch n := m.random.IntN(10); {
	case n < 4 && len(m.clients) < 40:
		m.dial(i)
	case n == 4:
		flood(m.world, m.b, m.random.IntN(20), 1)
	case n < 8 && len(m.seen) > 0:
		m.repeat()
	}
	for _, o := range m.clients {
		if m.chance(30) {
			m.use(o)
		}
	}
	m.clients = slices.DeleteFunc(m.clients, func(o *opening) bool { return o.left })
	m.run()
	for _, s := range m.held {
		if m.chance(50) {
			s.Answer(m.now, core.Answer(m.random.IntN(3)))
		}
	}
	m.serve(false)
	m.pass(time.Duration(m.random.IntN(300)) * time.Millisecond)
}

// Handshakes with SYN cookies and with text on their SYN, connections that wait for text,
// held ones and usual ones: segments are lost, and come again much later; SYNs come from
// strangers; users leave at any time. Text arrives as it was written or not at all, and
// in the end nothing is left.
func TestOpeningsAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var cookies, texts uint64
	for round := range uint64(6) {
		m := newMess(t, seed+round)
		for i := range 400 {
			m.step(i)
		}
		m.loss = 0
		for _, o := range m.clients {
			o.c.Close()
		}
		for range 20 {
			m.pass(time.Minute)
			m.serve(true)
		}
		for _, h := range m.hosts {
			st := h.c.Stats()
			require.Zero(t, st.HalfOpen)
			require.Zero(t, st.Connections)
			require.Zero(t, st.Memory)
			cookies += st.TCPCookiesAccepted
			texts += st.TCPFastOpenAccepted
		}
	}
	require.NotZero(t, cookies)
	require.NotZero(t, texts)
}
