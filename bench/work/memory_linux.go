package work

import (
	"os"
	"strconv"
	"strings"
)

// systemMemory returns the bytes that the process has in memory, and those in
// the kernel's slab caches, where its sockets are.
func systemMemory() (resident, slab float64) {
	return procField("/proc/self/status", "VmRSS:"), procField("/proc/meminfo", "Slab:")
}

// procField reads a line "name: number kB" of a file, in bytes; zero if there is
// none.
func procField(file, name string) float64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			kb, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0
			}
			return kb * 1024
		}
	}
	return 0
}
