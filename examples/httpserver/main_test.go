package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/internal/cli"
)

// start runs the example in memory and returns its URL and a way to end it,
// which returns what run returned.
func start(t *testing.T, args ...string) (url string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w)
		w.CloseWithError(err)
		done <- err
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	url = regexp.MustCompile(`http://\S+`).FindString(line)
	require.NotEmpty(t, url, line)
	end = func() error {
		cancel()
		return <-done
	}
	t.Cleanup(cancel)
	return url, end
}

func get(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// TestPage: the page shows the figures of the connection that fetched it, and
// they move as it is used.
func TestPage(t *testing.T) {
	url, end := start(t)
	c := &http.Client{Timeout: 20 * time.Second}
	status, body := get(t, c, url)
	require.Equal(t, http.StatusOK, status)
	require.Regexp(t, `id="state">ESTABLISHED<`, body)
	require.Contains(t, body, `id="server">192.168.69.1:80<`)
	id := regexp.MustCompile(`data-conn="(\d+)"`).FindStringSubmatch(body)
	require.NotNil(t, id)

	facts := func() map[string]fact {
		status, body := get(t, c, url+"facts?conn="+id[1])
		require.Equal(t, http.StatusOK, status)
		var list []fact
		require.NoError(t, json.Unmarshal([]byte(body), &list))
		m := make(map[string]fact)
		for _, f := range list {
			m[f.Key] = f
		}
		return m
	}
	before := facts()
	require.Equal(t, float64(1448), before["mss"].Num) // 1500 less IP, TCP and timestamps
	require.Positive(t, before["rtt"].Num)
	require.GreaterOrEqual(t, before["sent"].Num, float64(len(body)))
	_, data := get(t, c, url+"bytes?n=1000000")
	require.Len(t, data, 1_000_000)
	after := facts()
	require.GreaterOrEqual(t, after["sent"].Num-before["sent"].Num, 1e6)
	require.Greater(t, after["segsin"].Num, before["segsin"].Num)

	for path, want := range map[string]int{
		"facts?conn=x": http.StatusBadRequest, "facts?conn=999": http.StatusGone, "facts": http.StatusBadRequest,
		"bytes?n=-1": http.StatusBadRequest, "bytes": http.StatusBadRequest, "nothing": http.StatusNotFound,
	} {
		status, _ := get(t, c, url+path)
		require.Equal(t, want, status, path)
	}
	c.CloseIdleConnections()
	require.NoError(t, end())
	_, err := c.Get(url)
	require.Error(t, err, "still serving")
}

// TestBadLink: the flags that make a link worse work without a device too.
func TestBadLink(t *testing.T) {
	url, end := start(t, "-drop-chance", "5", "-corrupt-chance", "5")
	c := &http.Client{Timeout: time.Minute}
	_, data := get(t, c, url+"bytes?n=100000")
	for i := range data {
		if data[i] != byte(i) {
			t.Fatalf("byte %d is %d", i, data[i])
		}
	}
	c.CloseIdleConnections()
	require.NoError(t, end())
}

// TestCongestion: the flag chooses the controller of the connections that the page
// shows.
func TestCongestion(t *testing.T) {
	url, end := start(t, "-congestion", "bbr")
	c := &http.Client{Timeout: 20 * time.Second}
	_, body := get(t, c, url)
	require.Regexp(t, `id="control">bbr, \w`, body)
	c.CloseIdleConnections()
	require.NoError(t, end())
	err := run(t.Context(), []string{"-congestion", "vegas"}, io.Discard)
	var usage *cli.UsageError
	require.ErrorAs(t, err, &usage)
}

// TestHalfClose: the bridge passes a half-close on, so that a client that
// shuts its side down still gets its answer.
func TestHalfClose(t *testing.T) {
	url, end := start(t)
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /bytes?n=100000 HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, 100_000, n)
	require.NoError(t, end())
}

func TestBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	err = run(t.Context(), []string{"-addr", l.Addr().String()}, io.Discard)
	require.ErrorContains(t, err, "address already in use")
}
