package main

import (
	"bytes"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
)

// TestBrowser has a real browser fetch the page and run its script: the
// figures are drawn, and they move.
func TestBrowser(t *testing.T) {
	netns.NeedPrograms(t, "chromium")
	url, end := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=3000", "--dump-dom", url)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	page := string(out)
	require.Contains(t, page, `<td id="state">ESTABLISHED</td>`)
	for _, plot := range []string{"rtt", "cwnd"} {
		points := regexp.MustCompile(`id="plot-` + plot + `" points="([^"]+)"`).FindStringSubmatch(page)
		require.NotNil(t, points, plot)
		require.Greater(t, len(strings.Fields(points[1])), 2, "%s was updated: %s", plot, points[1])
	}
	received := regexp.MustCompile(`<td id="segsin">([^<]+)</td>`).FindStringSubmatch(page)
	require.NotNil(t, received)
	require.NotEqual(t, "2", received[1], "the page still shows what it was served with")
	require.Contains(t, page, `<p id="note" role="status"></p>`, "the page complains")
	require.NoError(t, end())
}
