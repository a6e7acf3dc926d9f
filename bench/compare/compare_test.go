package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/bench/env"
	"smolnet/bench/report"
	"smolnet/bench/work"
	"smolnet/internal/cli"
)

func TestWrongFlags(t *testing.T) {
	for _, args := range []string{
		"-nosuch", "-rows (", "-rows nothing-like-this", "-envs smolnet,abc", "-envs smolnet,smolnet", "-envs ", "-rounds -1", "-rounds x", "-time -1s",
		"-buffers 17", "-idle x", "-idle 0", "-scale 99999999", "extra",
	} {
		_, err := parse(strings.Split(args, " "))
		require.ErrorAs(t, err, new(*cli.UsageError), args)
	}
}

func TestFlags(t *testing.T) {
	s, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, env.Names(), s.stacks)
	require.Equal(t, defaultRounds, s.rounds)
	require.Equal(t, work.Options{Time: defaultTime}, s.options)
	s, err = parse([]string{"-tiny", "-rows", "^(idle|scale)/", "-idle", "5,6", "-scale", "", "-envs", "gvisor"})
	require.NoError(t, err)
	require.Len(t, s.rows, 2)
	require.Equal(t, "idle/5", s.rows[0].Name)
	require.Equal(t, []string{"gvisor"}, s.stacks)
	require.Equal(t, tinyRounds, s.rounds)
	require.Equal(t, work.Options{Time: tinyTime, Tiny: true}, s.options)
}

func TestList(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(context.Background(), []string{"-list", "-rows", "rtt"}, &out))
	require.Contains(t, out.String(), "rtt/1B")
	require.NotContains(t, out.String(), "bulk/mtu1500")
}

// TestRun goes from the command line to the files.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	profile := filepath.Join(dir, "cpu")
	var out strings.Builder
	require.NoError(t, run(context.Background(), []string{"-tiny", "-rows", "rtt/1B$", "-envs", "smolnet,gvisor", "-rounds", "2", "-out", dir, "-cpuprofile", profile}, &out))
	require.Contains(t, out.String(), "better than gvisor by")
	text, err := os.ReadFile(filepath.Join(dir, report.JSONFile))
	require.NoError(t, err)
	var r report.Report
	require.NoError(t, json.Unmarshal(text, &r))
	require.Equal(t, 4, r.Runs)
	require.Len(t, r.Rows[0].Figures[0].Stacks[env.Smolnet].Values, 2)
	info, err := os.Stat(profile)
	require.NoError(t, err)
	require.Positive(t, info.Size())
}

// A script is a row whose runs are written down.
type script struct {
	order []string
	run   func(name string, n int) (work.Result, error)
}

func (s *script) row(name string) work.Row {
	return work.Row{
		Name: name, About: "a row",
		Make: func(name string, _ env.Config) (*env.Pair, error) { return env.Bare(name), nil },
		Run: func(_ context.Context, p *env.Pair, _ work.Options) (work.Result, error) {
			s.order = append(s.order, p.Name())
			return s.run(p.Name(), len(s.order))
		},
	}
}

func comparisonOf(out io.Writer, rounds int, rows ...work.Row) *comparison {
	s := settings{rows: rows, stacks: env.Names(), rounds: rounds, options: work.Options{Tiny: true, Time: time.Millisecond}}
	return &comparison{settings: s, out: out, report: &report.Report{}}
}

func one(v float64) (work.Result, error) {
	return work.Result{Metrics: []work.Metric{{Name: "m", Unit: "u", Value: v, Better: work.Higher}}}, nil
}

func TestStacksTakeTurns(t *testing.T) {
	s := script{run: func(_ string, n int) (work.Result, error) { return one(float64(n)) }}
	c := comparisonOf(io.Discard, 2, s.row("x"))
	require.NoError(t, c.run(context.Background()))
	require.Equal(t, []string{"smolnet", "gvisor", "kernel", "smolnet", "gvisor", "kernel"}, s.order)
	require.Equal(t, []float64{1, 4}, c.report.Rows[0].Figures[0].Stacks["smolnet"].Values)
	few := s.row("y")
	few.Rounds, few.Stacks = 1, []string{"kernel"}
	s.order = nil
	require.NoError(t, comparisonOf(io.Discard, 2, few).run(context.Background()))
	require.Equal(t, []string{"kernel"}, s.order)
}

// TestVariants: a stack's name asks for its variants too, a variant's for it alone.
func TestVariants(t *testing.T) {
	lossy, plain := work.Row{Stacks: env.LossyNames()}, work.Row{}
	for _, tt := range []struct{ asked, lossy, plain []string }{
		{env.Names(), env.LossyNames(), env.Names()},
		{[]string{env.Kernel}, []string{env.Kernel, env.KernelBBR}, []string{env.Kernel}},
		{[]string{env.KernelBBR, env.Smolnet}, []string{env.Smolnet, env.SmolnetBBR, env.KernelBBR}, []string{env.Smolnet}},
		{[]string{env.KernelBBR}, []string{env.KernelBBR}, []string{}},
	} {
		c := comparison{settings: settings{stacks: tt.asked}}
		require.Equal(t, tt.lossy, c.stacks(&lossy))
		require.Equal(t, tt.plain, c.stacks(&plain))
	}
}

func TestFailuresAndLeftOut(t *testing.T) {
	s := script{run: func(name string, _ int) (work.Result, error) {
		switch name {
		case env.GVisor:
			return work.Result{}, errors.New("broken")
		case env.Kernel:
			return work.Result{}, fmt.Errorf("%w: no root", env.ErrUnavailable)
		}
		return one(1)
	}}
	var out strings.Builder
	c := comparisonOf(&out, 2, s.row("x"))
	require.ErrorContains(t, c.run(context.Background()), "1 of 3 runs failed")
	require.Equal(t, []string{"smolnet", "gvisor", "kernel", "smolnet"}, s.order, "not tried again")
	require.Contains(t, out.String(), "gvisor: failed: broken\n")
	require.Contains(t, out.String(), "kernel: left out: not available here: no root\n")
}

// TestInterrupt keeps what was measured, and writes it.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var s script
	s.run = func(_ string, n int) (work.Result, error) {
		if n == 5 {
			cancel()
			return work.Result{}, ctx.Err()
		}
		return one(1)
	}
	dir := t.TempDir()
	var out strings.Builder
	c := comparisonOf(&out, 2, s.row("first"), s.row("second"))
	c.settings.out = dir
	require.ErrorIs(t, c.run(ctx), context.Canceled)
	require.NoError(t, c.write())
	require.Len(t, c.report.Rows, 1)
	require.Len(t, c.report.Rows[0].Figures[0].Stacks, 3)
	require.Contains(t, out.String(), "ended early")
	require.True(t, c.report.EndedEarly)
	require.FileExists(t, filepath.Join(dir, report.JSONFile))
}

// TestFilesAreCheckedFirst: nobody measures for an hour to hear then that there is
// no such folder.
func TestFilesAreCheckedFirst(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("no markers"), 0o600))
	for _, args := range [][]string{
		{"-out", filepath.Join(file, "below")}, {"-readme", file}, {"-readme", file + "x"}, {"-cpuprofile", filepath.Join(dir, "no", "file")},
	} {
		var out strings.Builder
		require.Error(t, run(context.Background(), append(args, "-tiny"), &out), args)
		require.Empty(t, out.String(), "measured")
	}
	require.NoError(t, report.CheckFolder(filepath.Join(dir, "a", "b")))
	left, err := os.ReadDir(filepath.Join(dir, "a", "b"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestNothingMeasured(t *testing.T) {
	s := script{run: func(string, int) (work.Result, error) { return work.Result{}, env.ErrUnavailable }}
	require.ErrorContains(t, comparisonOf(io.Discard, 2, s.row("x")).run(context.Background()), "nothing could be measured")
}

// TestFailsLater keeps what earlier rounds measured, and says that there are fewer.
func TestFailsLater(t *testing.T) {
	s := script{run: func(name string, n int) (work.Result, error) {
		if name == env.GVisor && n > 3 {
			return work.Result{}, errors.New("broken\nbadly")
		}
		return one(1)
	}}
	var out strings.Builder
	c := comparisonOf(&out, 3, s.row("x"))
	require.ErrorContains(t, c.run(context.Background()), "1 of 8 runs failed")
	require.Len(t, c.report.Rows[0].Figures[0].Stacks[env.GVisor].Values, 1)
	require.Contains(t, out.String(), "  gvisor: failed in round 2: broken; badly\n")
	require.Contains(t, string(c.report.Markdown()), "\n\n- x, gvisor: failed in round 2: broken; badly\n")
}

func TestNothingWritten(t *testing.T) {
	c := comparisonOf(io.Discard, 1)
	c.settings.out = filepath.Join(t.TempDir(), "none")
	require.NoError(t, c.write())
	require.NoDirExists(t, c.settings.out)
}

func TestWaitQuiet(t *testing.T) {
	looks := 0
	gaugeOf := func(busy int, ok bool) gauge {
		looks = 0
		return func(context.Context, time.Duration) (float64, bool) {
			if looks++; looks <= busy {
				return 1, ok
			}
			return 0, ok
		}
	}
	require.True(t, waitQuiet(context.Background(), gaugeOf(3, true)))
	require.Equal(t, 4, looks)
	require.True(t, waitQuiet(context.Background(), gaugeOf(1000, false)), "who cannot tell does not wait")
	require.False(t, waitQuiet(context.Background(), gaugeOf(1000, true)))
	require.Equal(t, int(quietPatience/quietWindow), looks)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.False(t, waitQuiet(ctx, gaugeOf(1000, true)))
	require.Equal(t, 1, looks)
}
