// Command kernel is the smallest program that makes a TCP connection with package
// net, to be built and weighed.
package main

import (
	"io"
	"net"
	"os"
)

func main() {
	c, err := net.Dial("tcp", "10.0.0.1:80")
	if err != nil {
		os.Exit(1)
	}
	io.WriteString(c, "hello")
	io.Copy(os.Stdout, c)
}
