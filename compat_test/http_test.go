package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// webServer serves the same site in every test: /echo returns the body,
// /hello/NAME greets, /slow streams with flushes, /big sends a hash's worth.
func webServer(t *testing.T, e env) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Errorf("echo: %v", err)
		}
	})
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s over %s", r.PathValue("name"), r.Proto)
	})
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, random(3, bigBody)); err != nil {
			t.Errorf("big: %v", err)
		}
	})
	mux.HandleFunc("GET /forever", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done() // ends when the client hangs up
	})
	l, err := e.listen("tcp", e.host+":0")
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(mux)
	srv.Listener.Close()
	srv.Listener = l
	t.Cleanup(srv.Close)
	return srv
}

const bigBody = 8 << 20

// client returns srv's client, dialling over e.
func client(e env, srv *httptest.Server) *http.Client {
	c := srv.Client()
	tr := c.Transport.(*http.Transport)
	tr.DialContext = e.dial
	if tr.TLSClientConfig != nil {
		tr.TLSClientConfig.ServerName = "example.com" // what its certificate says
	}
	return c
}

func TestHTTP(t *testing.T) {
	for _, e := range smolnetEnvs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			srv := webServer(t, e)
			srv.Start()
			browse(t, client(e, srv), srv.URL, "HTTP/1.1")
		})
	}
}

func TestHTTP2OverTLS(t *testing.T) {
	for _, e := range smolnetEnvs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			srv := webServer(t, e)
			srv.EnableHTTP2 = true
			srv.StartTLS()
			browse(t, client(e, srv), srv.URL, "HTTP/2.0")
		})
	}
}

// browse uses the site as programs do: many requests at once, large bodies both
// ways, a request that is cancelled.
func browse(t *testing.T, c *http.Client, url, proto string) {
	get := func(path string) []byte {
		resp, err := c.Get(url + path)
		if !assertNoError(t, err) {
			return nil
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		assertNoError(t, err)
		return b
	}
	require.Equal(t, "hello world over "+proto, string(get("/hello/world")))
	require.Equal(t, hashOf(t, random(3, bigBody)), hashOf(t, bytes.NewReader(get("/big"))))

	body, err := io.ReadAll(random(4, 1<<20))
	require.NoError(t, err)
	resp, err := c.Post(url+"/echo", "application/octet-stream", bytes.NewReader(body))
	require.NoError(t, err)
	echo, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.NoError(t, err)
	require.True(t, bytes.Equal(body, echo))

	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			name := fmt.Sprint(i)
			if got := string(get("/hello/" + name)); got != "hello "+name+" over "+proto {
				t.Errorf("got %q", got)
			}
		})
	}
	wg.Wait()

	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/forever", nil)
	require.NoError(t, err)
	resp, err = c.Do(req)
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, context.Canceled)
	resp.Body.Close()
}

func assertNoError(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// TestTLSDeadlines: crypto/tls keeps a connection usable after a read deadline
// only if the error says that it is temporary.
func TestTLSDeadlines(t *testing.T) {
	for _, e := range envs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			c, s := tlsPair(t, e)
			require.Equal(t, uint16(tls.VersionTLS13), c.ConnectionState().Version)
			for range 3 {
				require.NoError(t, c.SetReadDeadline(soon()))
				_, err := c.Read(make([]byte, 1))
				var ne net.Error
				require.ErrorAs(t, err, &ne)
				require.True(t, ne.Timeout())
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				writeAll(t, s, "late")
				b := make([]byte, 4)
				_, err = io.ReadFull(c, b)
				require.NoError(t, err)
				require.Equal(t, "late", string(b))
			}
			require.NoError(t, c.CloseWrite())
			_, err := s.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			writeAll(t, s, "bye")
			require.NoError(t, s.Close())
			b, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, "bye", string(b))
		})
	}
}

func tlsPair(t *testing.T, e env) (client, server *tls.Conn) {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS() // for its certificate only
	defer ts.Close()
	cc, sc := e.pair(t)
	server = tls.Server(sc, ts.TLS)
	client = tls.Client(cc, &tls.Config{RootCAs: ts.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	errc := make(chan error, 1)
	go func() { errc <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-errc)
	return client, server
}

// TestServerShutdown: http.Server.Shutdown ends idle connections and waits for
// busy ones.
func TestServerShutdown(t *testing.T) {
	for _, e := range smolnetEnvs(t) {
		t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) {
			l, err := e.listen("tcp", e.host+":0")
			require.NoError(t, err)
			entered, finish := make(chan bool), make(chan bool)
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				<-finish
				io.WriteString(w, "finished")
			})}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(l) }()
			type result struct {
				body string
				err  error
			}
			got := make(chan result, 1)
			go func() {
				c := http.Client{Transport: &http.Transport{DialContext: e.dial}}
				resp, err := c.Get("http://" + l.Addr().String())
				if err != nil {
					got <- result{"", err}
					return
				}
				b, err := io.ReadAll(resp.Body)
				got <- result{string(b), err}
			}()
			<-entered
			down := make(chan error, 1)
			go func() { down <- srv.Shutdown(t.Context()) }()
			require.ErrorIs(t, <-served, http.ErrServerClosed)
			close(finish)
			require.Equal(t, result{"finished", nil}, <-got)
			require.NoError(t, <-down)
		})
	}
}
