package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"smolnet/bench/env"
)

// httpConnections is how many keep-alive connections, and clients, there are.
const httpConnections = 32

// requests returns the work of net/http's client and server exchanging requests
// for a body of a size.
func requests(size int) func(context.Context, *env.Pair, Options) (Result, error) {
	return func(ctx context.Context, p *env.Pair, o Options) (Result, error) {
		l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
		if err != nil {
			return Result{}, err
		}
		served := make(chan error, 1)
		// The transport's dials outlive the requests that they are for.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		server := &http.Server{Handler: bodyOf(size)}
		go func() { served <- server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{
			DialContext:         func(_ context.Context, _, addr string) (net.Conn, error) { return p.Client.Dial(ctx, "tcp4", addr) },
			MaxIdleConnsPerHost: httpConnections,
			DisableCompression:  true,
		}}
		t, err := repeat(ctx, o, httpConnections, func(int) func() error {
			return func() error { return get(ctx, client, "http://"+l.Addr().String()+"/", size) }
		})
		client.CloseIdleConnections()
		err = errors.Join(err, server.Close())
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		if err != nil {
			return Result{}, err
		}
		var res Result
		res.add("rate", "k/s", Higher, t.rate()/1e3)
		res.add("CPU", "us", Lower, t.cpuEach())
		res.add("p99", "us", Lower, micros(t.times.Quantile(0.99)))
		const large = 64 << 10
		if size >= large {
			res.add("throughput", "Gbit/s", Higher, t.rate()*float64(size)/bitsPerGbit)
		}
		return res, nil
	}
}

// bodyOf returns a handler that answers with n bytes.
func bodyOf(n int) http.Handler {
	body := make([]byte, n)
	length := strconv.Itoa(n)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", length)
		w.Write(body) // an error is the client's to notice
	})
}

func get(ctx context.Context, client *http.Client, url string, size int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && n != int64(size) {
		err = fmt.Errorf("body has %d bytes, not %d", n, size)
	}
	return err
}
