package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"smolnet/bench/env"
	"smolnet/bench/report"
	"smolnet/bench/work"
)

// A comparison runs rows over stacks and gathers what they measure.
type comparison struct {
	settings settings
	out      io.Writer
	report   *report.Report
	failed   int  // runs
	busySaid bool // that the machine is not quiet
}

// run measures all rows. When ctx ends, it returns with what there is.
func (c *comparison) run(ctx context.Context) error {
	fmt.Fprintf(c.out, "%s\n%s\n", c.report.Machine.Date, c.report.Machine)
	for i := range c.settings.rows {
		row := c.row(ctx, &c.settings.rows[i])
		if len(row.Figures) > 0 || ctx.Err() == nil {
			c.report.Rows = append(c.report.Rows, row)
			if err := row.WriteText(c.out); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			c.report.EndedEarly = true
			fmt.Fprintln(c.out, "\nended early")
			break
		}
	}
	if c.report.Busy > 0 {
		fmt.Fprintf(c.out, "\nbefore %d of %d runs other programs kept the machine busy\n", c.report.Busy, c.report.Runs)
	}
	if c.failed > 0 {
		return fmt.Errorf("%d of %d runs failed", c.failed, c.report.Runs)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.report.Runs == 0 {
		return errors.New("nothing could be measured")
	}
	return nil
}

// row runs one row round by round, the stacks taking turns, each on a fresh pair.
func (c *comparison) row(ctx context.Context, r *work.Row) report.Row {
	row := report.Row{Name: r.Name, About: r.About, Link: r.Link.String()}
	if r.Link == (env.Link{}) {
		row.Link = ""
	}
	stacks := c.stacks(r)
	rounds := c.settings.rounds
	if r.Rounds > 0 {
		rounds = min(rounds, r.Rounds)
	}
	for round := range rounds {
		for _, stack := range stacks {
			if row.Missing[stack] != "" {
				continue
			}
			c.quiet(ctx)
			if ctx.Err() != nil {
				return row
			}
			res, err := r.Measure(ctx, stack, env.Config{Buffers: c.settings.buffers}, c.settings.options)
			switch {
			case err == nil:
				c.report.Runs++
				row.Add(stack, res)
			case ctx.Err() != nil:
				return row
			case errors.Is(err, env.ErrUnavailable):
				row.Miss(stack, "left out: "+err.Error())
			default:
				c.report.Runs++
				c.failed++
				when := ""
				if round > 0 {
					when = fmt.Sprintf(" in round %d", round+1)
				}
				row.Miss(stack, "failed"+when+": "+err.Error())
			}
		}
	}
	return row
}

// stacks returns those that a row is to be run over: of its own stacks the ones that
// were asked for, by their names or by that of the stack that they are variants of,
// and of those that were asked for, where it has none of its own, the ones that are
// no variants.
func (c *comparison) stacks(r *work.Row) []string {
	asked := c.settings.stacks
	if r.Stacks == nil {
		return slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return env.Base(s) != s })
	}
	return slices.DeleteFunc(slices.Clone(r.Stacks), func(s string) bool {
		return !slices.Contains(asked, s) && !slices.Contains(asked, env.Base(s))
	})
}

// quiet cleans up after the last run and waits until the machine has nothing
// else to do. If that takes too long, it says so and goes on.
func (c *comparison) quiet(ctx context.Context) {
	runtime.GC()
	if c.settings.options.Tiny {
		return
	}
	if waitQuiet(ctx, othersBusy) || ctx.Err() != nil {
		return
	}
	c.report.Busy++
	if !c.busySaid {
		c.busySaid = true
		fmt.Fprintf(c.out, "the machine is not quiet after %v: going on, but the figures will be rough\n", quietPatience)
	}
}
