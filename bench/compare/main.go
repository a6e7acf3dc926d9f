// Command compare measures smolnet, gVisor netstack and the Linux kernel side by
// side in one process and prints how they compare. bench/README.md says what
// each row means.
//
//	go run ./bench/compare -rows 'bulk|rtt' -rounds 5 -out /tmp/bench
//
// The kernel rows need Linux and root, for network namespaces.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"smolnet/bench/env"
	"smolnet/bench/report"
	"smolnet/bench/work"
	"smolnet/internal/cli"
)

func main() { cli.Main(run) }

// Defaults of the flags.
const (
	defaultRounds = 5
	defaultTime   = time.Second
	tinyRounds    = 1
	tinyTime      = 20 * time.Millisecond
)

// settings are what the command line says.
type settings struct {
	rows    []work.Row
	stacks  []string
	rounds  int
	options work.Options
	buffers int
	list    bool
	out     string
	readme  string
	profile string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.list {
		return list(out, s.rows)
	}
	if err := s.checkFiles(); err != nil {
		return err
	}
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	c := comparison{settings: s, out: out, report: &report.Report{Machine: report.ThisMachine(time.Now(), args)}}
	err = c.run(ctx)
	failed := c.write()
	if failed != nil && ctx.Err() != nil {
		return failed // not hidden behind the user's wish to end
	}
	return errors.Join(err, failed)
}

// checkFiles says what could not be written, before time is spent on measuring.
func (s *settings) checkFiles() error {
	if s.out != "" {
		if err := report.CheckFolder(s.out); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	if s.readme != "" {
		if err := report.CheckReadme(s.readme); err != nil {
			return fmt.Errorf("-readme: %w", err)
		}
	}
	return nil
}

// write makes the files that were asked for, of what was measured so far.
func (c *comparison) write() error {
	if len(c.report.Rows) == 0 {
		return nil
	}
	var err error
	if c.settings.out != "" {
		err = c.report.Write(c.settings.out)
	}
	if c.settings.readme != "" {
		err = errors.Join(err, c.report.UpdateReadme(c.settings.readme))
	}
	return err
}

func list(out io.Writer, rows []work.Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\n", r.Name, r.About)
	}
	return w.Flush()
}

// parse reads the command line. Its errors are for [cli.Main].
func parse(args []string) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	rows := fs.String("rows", "", "run the rows whose names match this regular `expression`")
	envs := fs.String("envs", strings.Join(env.Names(), ","), "the `stacks` to measure, each with its variants on lossy links; a variant's own name is for it alone")
	idle := fs.String("idle", "10000,100000", "`numbers` of connections of the idle rows")
	scale := fs.String("scale", "10,10000,100000", "`numbers` of idle connections beside the busy ones of the scale rows")
	fs.IntVar(&s.rounds, "rounds", 0, "how often to run each row (default 5, 1 with -tiny)")
	fs.DurationVar(&s.options.Time, "time", 0, "how long to measure each time (default 1s, 20ms with -tiny)")
	fs.BoolVar(&s.options.Tiny, "tiny", false, "only see whether everything works: small counts, figures mean nothing")
	fs.IntVar(&s.buffers, "buffers", 0, "receive and send buffers of connections, `bytes` (default: each stack's own)")
	fs.BoolVar(&s.list, "list", false, "print the rows and end")
	fs.StringVar(&s.out, "out", "", "write "+report.JSONFile+" and "+report.PlotFile+" to this `folder`")
	fs.StringVar(&s.readme, "readme", "", "put the table between the markers of this `file`")
	fs.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile to this `file`")
	if err := cli.Parse(fs, args); err != nil {
		return s, err
	}
	var counts work.Counts
	var err error
	if counts.Idle, err = numbers("idle", *idle); err != nil {
		return s, err
	}
	if counts.Scale, err = numbers("scale", *scale); err != nil {
		return s, err
	}
	if s.rows, err = selectRows(work.Rows(counts), *rows); err != nil {
		return s, err
	}
	s.stacks = strings.Split(*envs, ",")
	for i, name := range s.stacks {
		if slices.Contains(s.stacks[:i], name) {
			return s, cli.Usagef("-envs: %s is there twice", name)
		}
		if !slices.Contains(env.LossyNames(), name) {
			return s, cli.Usagef("-envs: no stack is named %q, there are %s", name, strings.Join(env.LossyNames(), ", "))
		}
	}
	return s, s.defaults()
}

func (s *settings) defaults() error {
	const minBuffers = 4096
	if s.rounds < 0 || s.options.Time < 0 {
		return cli.Usagef("-rounds and -time cannot be negative")
	}
	if s.buffers != 0 && s.buffers < minBuffers {
		return cli.Usagef("-buffers %d is less than %d", s.buffers, minBuffers)
	}
	rounds, length := defaultRounds, defaultTime
	if s.options.Tiny {
		rounds, length = tinyRounds, tinyTime
	}
	if s.rounds == 0 {
		s.rounds = rounds
	}
	if s.options.Time == 0 {
		s.options.Time = length
	}
	return nil
}

func selectRows(rows []work.Row, expression string) ([]work.Row, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, cli.Usagef("-rows: %v", err)
	}
	rows = slices.DeleteFunc(rows, func(r work.Row) bool { return !re.MatchString(r.Name) })
	if len(rows) == 0 {
		return nil, cli.Usagef("-rows: no row matches %q, see -list", expression)
	}
	return rows, nil
}

// numbers reads a list of counts, which may be empty.
func numbers(name, list string) ([]int, error) {
	var ns []int
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > work.MaxConnections {
			return nil, cli.Usagef("-%s: %q is not a number from 1 to %d", name, word, work.MaxConnections)
		}
		ns = append(ns, n)
	}
	return ns, nil
}
