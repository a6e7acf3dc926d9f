package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"smolnet/conn"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// maxBody bounds what one request for test data may ask for, in bytes.
const maxBody = 1 << 30

// A site is the web site that the stack serves. It knows each of its open
// connections by number, so that a page can watch the very one that fetched it
// even if the browser uses others beside it.
type site struct {
	mu    sync.Mutex
	next  int
	conns map[int]*conn.TCP
}

type connKey struct{}

func newSite() *site { return &site{conns: make(map[int]*conn.TCP)} }

// server returns an http.Server for the site.
func (s *site) server() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /facts", s.serveFacts)
	mux.HandleFunc("GET /bytes", serveBytes)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       s.opened,
		ConnState:         s.changed,
	}
}

// opened gives a new connection its number and hands it to the handlers.
func (s *site) opened(ctx context.Context, c net.Conn) context.Context {
	t, ok := c.(*conn.TCP)
	if !ok {
		return ctx
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.conns[s.next] = t
	return context.WithValue(ctx, connKey{}, s.next)
}

// changed forgets a connection that is over.
func (s *site) changed(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.conns {
		if net.Conn(t) == c {
			delete(s.conns, id)
		}
	}
}

func (s *site) lookup(id int) (*conn.TCP, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conns[id]
	return c, ok
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	id, _ := r.Context().Value(connKey{}).(int)
	c, ok := s.lookup(id)
	if !ok {
		http.Error(w, "this connection is not one of the stack's", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, struct {
		ID    int
		Facts []fact
	}{id, factsOf(c)}) // an error here is a browser that went away
}

func (s *site) serveFacts(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.FormValue("conn"))
	if err != nil {
		http.Error(w, "conn must be the number of a connection", http.StatusBadRequest)
		return
	}
	c, ok := s.lookup(id)
	if !ok {
		http.Error(w, "that connection is closed", http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(factsOf(c))
}

// serveBytes sends n bytes of a repeating pattern, so that there is something
// to watch.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 || n > maxBody {
		http.Error(w, fmt.Sprintf("n must be between 0 and %d", maxBody), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	b := make([]byte, 32<<10)
	for i := range b {
		b[i] = byte(i)
	}
	for n > 0 {
		m, err := w.Write(b[:min(n, int64(len(b)))])
		if err != nil {
			return
		}
		n -= int64(m)
	}
}

// A fact is one row of the page. Num is the value for plotting.
type fact struct {
	Key   string  `json:"key"`
	Label string  `json:"label"`
	Value string  `json:"value"`
	Num   float64 `json:"num"`
}

// factsOf reads what the connection knows of itself at this moment.
func factsOf(c *conn.TCP) []fact {
	i := c.Info()
	count := func(key, label string, n uint64, unit string) fact {
		return fact{key, label, grouped(n) + unit, float64(n)}
	}
	orNone := func(key, label string, n uint64, unit string) fact {
		f := count(key, label, n, unit)
		if n == 0 {
			f.Value = "none"
		}
		return f
	}
	return []fact{
		{"client", "Client", c.RemoteAddr().String(), 0},
		{"server", "Server", c.LocalAddr().String(), 0},
		{"state", "State", i.State.String(), 0},
		{"age", "Established for", time.Since(i.Established).Round(time.Second).String(), time.Since(i.Established).Seconds()},
		{"rtt", "Smoothed round-trip time", i.RTT.Round(time.Microsecond).String(), float64(i.RTT.Microseconds())},
		{"minrtt", "Least round-trip time", i.MinRTT.Round(time.Microsecond).String(), float64(i.MinRTT.Microseconds())},
		{"rto", "Retransmission timeout", i.RTO.Round(time.Microsecond).String(), float64(i.RTO.Microseconds())},
		{"control", "Congestion control", i.CongestionControl + ", " + i.CongestionMode, 0},
		{"phase", "Loss recovery", i.Phase.String(), 0},
		count("cwnd", "Congestion window", uint64(i.CongestionWindow), " B"),
		orNone("ssthresh", "Slow start threshold", uint64(i.SlowStartThreshold), " B"),
		orNone("pacing", "Pacing rate", uint64(i.PacingRate), " B/s"),
		count("rate", "Delivery rate", uint64(i.DeliveryRate), " B/s"),
		count("mss", "Segment size (MSS)", uint64(i.SendMSS), " B"),
		count("peerwnd", "Window the client offers", uint64(i.SendWindow), " B"),
		count("inflight", "In flight", uint64(i.InFlight), " B"),
		count("queue", "Written, not acknowledged", uint64(i.SendQueue), " B"),
		count("sent", "Bytes sent", i.BytesSent, " B"),
		count("received", "Bytes received", i.BytesReceived, " B"),
		count("segsout", "Segments sent", i.SegmentsSent, ""),
		count("segsin", "Segments received", i.SegmentsReceived, ""),
		count("retrans", "Segments retransmitted", i.Retransmits, ""),
		count("spurious", "of those, in vain", i.DuplicatesReported, ""),
	}
}

// grouped writes n with a thin space between groups of three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u2009" + s[i:]
	}
	return s
}
