package report

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// A Machine says where and how the benchmarks were run.
type Machine struct {
	Date    string            `json:"date"` // RFC 3339
	Command string            `json:"command"`
	System  string            `json:"system"` // operating system and architecture
	Kernel  string            `json:"kernel,omitempty"`
	CPU     string            `json:"cpu,omitempty"`
	Cores   int               `json:"cores"` // that Go uses
	Go      string            `json:"go"`
	Modules map[string]string `json:"modules,omitempty"`
}

// ThisMachine describes the machine of the running program. What cannot be
// found out is left empty.
func ThisMachine(now time.Time, args []string) Machine {
	m := Machine{
		Date:    now.Format(time.RFC3339),
		Command: command(args),
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		Cores:   runtime.GOMAXPROCS(0),
		Go:      runtime.Version(),
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(b)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Modules = make(map[string]string)
		for _, d := range info.Deps {
			m.Modules[d.Path] = d.Version
		}
	}
	return m
}

// command is what a user types to a shell to run the benchmarks with args.
func command(args []string) string {
	words := []string{"go run ./bench/compare"}
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " |&;<>()$`\\\"'*?[#~!{}") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// cpuModel finds the processor's name in the text of /proc/cpuinfo.
func cpuModel(cpuinfo []byte) string {
	for lines := bufio.NewScanner(bytes.NewReader(cpuinfo)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// String describes the machine in a line.
func (m Machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = "unknown CPU"
	}
	s := fmt.Sprintf("%s, %d cores, %s", cpu, m.Cores, m.System)
	if m.Kernel != "" {
		s += " " + m.Kernel
	}
	s += ", " + m.Go
	if v := m.Modules["gvisor.dev/gvisor"]; v != "" {
		s += ", gVisor " + v
	}
	return s
}
