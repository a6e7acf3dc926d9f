//go:build unix

package cli

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSignals: the first signal lets a program close and end well.
func TestSignals(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd, stderr := program(t, "server")
			lines := start(t, cmd)
			require.Equal(t, "ready", line(t, lines))
			require.NoError(t, cmd.Process.Signal(sig))
			require.Equal(t, "closing", line(t, lines))
			require.NoError(t, cmd.Wait())
			require.Empty(t, stderr.String())
		})
	}
}

// TestSecondSignal: the second one does not wait.
func TestSecondSignal(t *testing.T) {
	cmd, stderr := program(t, "stuck")
	lines := start(t, cmd)
	require.Equal(t, "ready", line(t, lines))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, "stuck", line(t, lines))
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.Equal(t, statusSignal+int(syscall.SIGINT), status(t, cmd.Wait()))
	require.Empty(t, stderr.String())
}

func start(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return bufio.NewScanner(out)
}

func line(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	require.True(t, lines.Scan(), "the program ended early: %v", lines.Err())
	return lines.Text()
}
