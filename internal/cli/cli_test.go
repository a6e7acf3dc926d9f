package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/phy"
)

// asProgram makes this test binary run a program instead of tests.
const asProgram = "SMOLNET_CLI_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "flags": // reads its flags and is done
		Main(func(_ context.Context, args []string, out io.Writer) error {
			fs := flag.NewFlagSet("program", flag.ExitOnError)
			Flags(fs)
			return Parse(fs, args, "ADDRESS", "[URL]")
		})
	case "device": // opens its device and is done
		Main(func(_ context.Context, args []string, _ io.Writer) error {
			fs := flag.NewFlagSet("program", flag.ContinueOnError)
			opts := Flags(fs)
			if err := Parse(fs, args); err != nil {
				return err
			}
			dev, err := opts.Device()
			if err != nil {
				return err
			}
			return dev.Close()
		})
	case "server": // runs until it is told to end
		Main(func(ctx context.Context, _ []string, out io.Writer) error {
			fmt.Fprintln(out, "ready")
			<-ctx.Done()
			fmt.Fprintln(out, "closing")
			return ctx.Err()
		})
	case "stuck": // does not end when told to
		Main(func(ctx context.Context, _ []string, out io.Writer) error {
			fmt.Fprintln(out, "ready")
			<-ctx.Done()
			fmt.Fprintln(out, "stuck")
			select {}
		})
	case "failing":
		Main(func(context.Context, []string, io.Writer) error {
			return fmt.Errorf("listen: %w", errors.Join(syscall.EADDRINUSE, errors.New("second line")))
		})
	}
}

// program returns a command that runs one of the programs of TestMain.
func program(t *testing.T, which string, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"="+which)
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	return cmd, stderr
}

func status(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	return exit.ExitCode()
}

// TestWrongFlags has a line for everything that can be wrong with a command
// line: one line on standard error, nothing on standard output, status 2.
func TestWrongFlags(t *testing.T) {
	tests := []struct{ args, says string }{
		{"", "missing argument ADDRESS"},
		{"a b c", `unexpected argument "c"`},
		{"-no-such-flag a", "flag provided but not defined: -no-such-flag"},
		{"--no-such-flag a", "-no-such-flag"},
		{"- -x a", `unexpected argument "a"`},
		{"a b -tap tap0", `unexpected argument "-tap"`},
		{"-tap", "needs an argument: -tap"},
		{"-tap= a", "flag -tap: empty interface name"},
		{"-tun= a", "flag -tun: empty interface name"},
		{"-tap tap0 -tun tun0 a", "flag -tun: there is a -tap already"},
		{"-tun tun0 -tap tap0 a", "flag -tap: there is a -tun already"},
		{"-tap a/b a", "not an interface name"},
		{"-tap .. a", "not an interface name"},
		{"-tun 0123456789abcdef a", "at most 15 bytes"},
		{"-pcap= a", "flag -pcap: empty file name"},
		{"-congestion vegas a", `invalid value "vegas" for flag -congestion: there are bbr, cubic, none, reno`},
		{"-congestion= a", "flag -congestion: there are bbr, cubic, none, reno"},
		{"-drop-chance -1 a", "flag -drop-chance: must be from 0 to 100"},
		{"-drop-chance 101 a", "flag -drop-chance: must be from 0 to 100"},
		{"-drop-chance 5% a", "flag -drop-chance: not a whole number"},
		{"-drop-chance 0.5 a", "flag -drop-chance: not a whole number"},
		{"-corrupt-chance -1 a", "flag -corrupt-chance: must be from 0 to 100"},
		{"-corrupt-chance 101 a", "flag -corrupt-chance: must be from 0 to 100"},
		{"-corrupt-chance x a", "flag -corrupt-chance: not a whole number"},
		{"-size-limit -1 a", "flag -size-limit: must be from 0"},
		{"-size-limit x a", "flag -size-limit: not a whole number"},
		{"-size-limit 99999999999999999999 a", "flag -size-limit: not a whole number"},
		{"-tx-rate-limit -1 a", "flag -tx-rate-limit: must be from 0"},
		{"-tx-rate-limit x a", "flag -tx-rate-limit: not a whole number"},
		{"-rx-rate-limit -1 a", "flag -rx-rate-limit: must be from 0"},
		{"-rx-rate-limit x a", "flag -rx-rate-limit: not a whole number"},
		{"-shaping-interval 0 a", "flag -shaping-interval: must be more than 0"},
		{"-shaping-interval -5 a", "flag -shaping-interval: neither a duration nor"},
		{"-shaping-interval -5ms a", "flag -shaping-interval: must be more than 0"},
		{"-shaping-interval 2h a", "at most 1h0m0s"},
		{"-shaping-interval soon a", "flag -shaping-interval: neither a duration nor"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			cmd, stderr := program(t, "flags", strings.Fields(tt.args)...)
			out, err := cmd.Output()
			require.Equal(t, statusUsage, status(t, err), stderr.String())
			require.Empty(t, out)
			require.Contains(t, stderr.String(), tt.says)
			require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
			require.True(t, strings.HasSuffix(stderr.String(), "\n"))
		})
	}
}

func TestFlags(t *testing.T) {
	want := Options{
		TAP: "tap0", Pcap: "x.pcap", DropChance: 15, CorruptChance: 100, SizeLimit: 1000, TxRateLimit: 4, RxRateLimit: 5,
		ShapingInterval: 50 * time.Millisecond, Congestion: "bbr",
	}
	for _, dash := range []string{"-", "--"} {
		fs := flag.NewFlagSet("program", flag.ContinueOnError)
		o := Flags(fs)
		args := strings.Fields("@tap tap0 @pcap x.pcap @drop-chance 15 @corrupt-chance=100 @size-limit 1000 " +
			"@tx-rate-limit 4 @rx-rate-limit 5 @shaping-interval 50 @congestion bbr 192.0.2.1")
		for i := range args {
			args[i] = strings.Replace(args[i], "@", dash, 1)
		}
		require.NoError(t, Parse(fs, args, "ADDRESS", "[URL]"))
		require.Equal(t, want, *o)
		require.Equal(t, []string{"192.0.2.1"}, fs.Args())
	}
	for text, want := range map[string]time.Duration{
		"50": 50 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "250us": 250 * time.Microsecond, "": phy.DefaultShapingInterval,
	} {
		fs := flag.NewFlagSet("program", flag.ContinueOnError)
		o := Flags(fs)
		var args []string
		if text != "" {
			args = []string{"-shaping-interval", text}
		}
		require.NoError(t, Parse(fs, args))
		require.Equal(t, want, o.ShapingInterval)
	}
}

// TestNeedsDevice: a program that cannot do without a device asks for one.
func TestNeedsDevice(t *testing.T) {
	cmd, stderr := program(t, "device")
	out, err := cmd.Output()
	require.Equal(t, statusUsage, status(t, err))
	require.Empty(t, out)
	require.Regexp(t, `^\S+: which device\? give -tap NAME or -tun NAME.*\n$`, stderr.String())
}

func TestHelp(t *testing.T) {
	for _, arg := range []string{"-h", "-help", "--help"} {
		cmd, stderr := program(t, "flags", arg)
		out, err := cmd.Output()
		require.Zero(t, status(t, err))
		require.Empty(t, stderr.String())
		require.Contains(t, string(out), "usage: program [flags] ADDRESS [URL]\n")
		for _, name := range []string{
			"tap NAME", "tun NAME", "pcap FILE", "congestion NAME", "drop-chance percentage", "corrupt-chance percentage", "size-limit N",
			"tx-rate-limit N", "rx-rate-limit N", "shaping-interval duration",
		} {
			require.Contains(t, string(out), "  -"+name)
		}
	}
}

func TestFailure(t *testing.T) {
	cmd, stderr := program(t, "failing")
	out, err := cmd.Output()
	require.Equal(t, statusError, status(t, err))
	require.Empty(t, out)
	require.Regexp(t, `^\S+: listen: address already in use; second line\n$`, stderr.String())
}

func TestReport(t *testing.T) {
	live := t.Context()
	ended, end := context.WithCancel(live)
	end()
	tests := []struct {
		name   string
		ctx    context.Context
		err    error
		status int
		stderr string
	}{
		{"done", live, nil, 0, ""},
		{"ended by the user", ended, fmt.Errorf("accept: %w", context.Canceled), 0, ""},
		{"ended by the user, but failed to close", ended, io.ErrShortWrite, 1, "p: short write\n"},
		{"cancelled for another reason", live, context.Canceled, 1, "p: context canceled\n"},
		{"usage", live, fmt.Errorf("at: %w", Usagef("no %s", "way")), 2, "p: at: no way (p -help says more)\n"},
	}
	for _, tt := range tests {
		var stdout, stderr strings.Builder
		require.Equal(t, tt.status, report(tt.ctx, tt.err, "p", &stdout, &stderr), tt.name)
		require.Equal(t, tt.stderr, stderr.String(), tt.name)
		require.Empty(t, stdout.String(), tt.name)
	}
}
