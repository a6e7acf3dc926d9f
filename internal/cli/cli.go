// Package cli is what the example programs have in common: how they read
// flags, attach to a device, say what went wrong, and end.
//
//	func main() { cli.Main(run) }
//
//	func run(ctx context.Context, args []string, out io.Writer) error {
//		fs := flag.NewFlagSet("ping", flag.ContinueOnError)
//		opts := cli.Flags(fs)
//		count := fs.Int("count", 4, "echo requests to send")
//		if err := cli.Parse(fs, args, "ADDRESS"); err != nil {
//			return err
//		}
//		dev, err := opts.Device()
//		...
//	}
//
// A program ends with status 0 when it is done, when it has printed its help,
// and when the user ended it with Ctrl-C or it was told to terminate: that is
// how a server is meant to end, and it has closed everything in good order.
// Status 1 is a failure, status 2 a command line that it does not understand;
// both come with one line on standard error. A second Ctrl-C does not wait for
// anything to be closed; the status is then that of a killed program, 130.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Exit statuses.
const (
	statusOK    = 0
	statusError = 1
	statusUsage = 2
	// statusSignal plus a signal's number is what shells report of a program
	// that the signal killed.
	statusSignal = 128
)

// A UsageError is a command line that a program does not understand.
type UsageError struct{ Reason string }

// Error returns the reason.
func (e *UsageError) Error() string { return e.Reason }

// Usagef returns a [UsageError] for what only the program itself can tell,
// such as an operand that is no address.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// Main calls run with the program's arguments and standard output, and ends
// the program with the status that fits what run returns. Its context ends
// with the first SIGINT or SIGTERM; the next one ends the program at once.
func Main(run func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		again := <-signals
		number, _ := again.(syscall.Signal)
		os.Exit(statusSignal + int(number))
	}()
	err := run(ctx, os.Args[1:], os.Stdout)
	os.Exit(report(ctx, err, filepath.Base(os.Args[0]), os.Stdout, os.Stderr))
}

// report prints what there is to say about err and returns the exit status.
func report(ctx context.Context, err error, program string, stdout, stderr io.Writer) int {
	var help *helpError
	var usage *UsageError
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return statusOK
	case errors.As(err, &help):
		fmt.Fprint(stdout, help.text)
		return statusOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %s (%s -help says more)\n", program, oneLine(err), program)
		return statusUsage
	}
	fmt.Fprintf(stderr, "%s: %s\n", program, oneLine(err))
	return statusError
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// A helpError is the user's wish to read the help.
type helpError struct{ text string }

// Error returns the help.
func (e *helpError) Error() string { return e.text }

// Parse reads a program's arguments: flags, then one operand for each of the
// names given; a name in brackets may be left out, and such come last. The
// error is a [UsageError], or says that help was asked for; both are for [Main].
func Parse(fs *flag.FlagSet, args []string, operands ...string) error {
	fs.Init(fs.Name(), flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are printed once, by Main
	fs.Usage = func() {}
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return &helpError{help(fs, operands)}
	}
	if err != nil {
		return &UsageError{err.Error()}
	}
	if n := fs.NArg(); n > len(operands) {
		return Usagef("unexpected argument %q", fs.Arg(len(operands)))
	} else if n < len(operands) && !strings.HasPrefix(operands[n], "[") {
		return Usagef("missing argument %s", operands[n])
	}
	return nil
}

func help(fs *flag.FlagSet, operands []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n", strings.Join(append([]string{fs.Name(), "[flags]"}, operands...), " "))
	fs.SetOutput(&b)
	fs.PrintDefaults()
	fs.SetOutput(io.Discard)
	return b.String()
}
