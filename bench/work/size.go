package work

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"smolnet/bench/env"
)

// sizeLimit is how long the go command has for a program: it may have to compile
// the whole standard library.
const sizeLimit = 10 * time.Minute

// sizeRow is the row of program sizes. The programs do the same: they connect,
// say hello, and print the answer.
func sizeRow() Row {
	return Row{
		Name: "size/hello", About: "size of a stripped program that makes a TCP connection; kernel: package net", Rounds: 1, Limit: sizeLimit,
		Make: func(name string, _ env.Config) (*env.Pair, error) { return env.Bare(name), nil },
		Run:  programSize,
	}
}

// programSize builds the program for a stack. It needs the go command and this
// module's source.
func programSize(ctx context.Context, p *env.Pair, _ Options) (res Result, err error) {
	folder, err := os.MkdirTemp("", "bench-size-")
	if err != nil {
		return res, err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "hello")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "smolnet/bench/size/"+p.Name())
	build.Env = append(build.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return res, fmt.Errorf("%w: go build: %w: %s", env.ErrUnavailable, err, strings.TrimSpace(string(out)))
	}
	info, err := os.Stat(program)
	if err != nil {
		return res, err
	}
	res.add("program", "MB", Lower, float64(info.Size())/1e6)
	return res, nil
}
