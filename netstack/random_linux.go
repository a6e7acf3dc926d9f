package netstack

import "golang.org/x/sys/unix"

// systemRandom reads the kernel's random number generator. Package crypto/rand
// does so too, and has a program link a large part of the cryptography of the
// standard library.
type systemRandom struct{}

func (systemRandom) Read(b []byte) (int, error) {
	for {
		// Up to 256 bytes come whole once the generator has been seeded, for
		// which the call waits: getrandom(2).
		n, err := unix.Getrandom(b, 0)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
