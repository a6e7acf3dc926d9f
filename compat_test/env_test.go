package compat

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/internal/twostacks"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
)

// An env is somewhere to run a body: a network with a side that listens at
// host and a side that dials it.
type env struct {
	name         string
	host         string // IPv4 address of the listening side
	host6        string
	dial         func(ctx context.Context, network, addr string) (net.Conn, error)
	listen       func(network, addr string) (net.Listener, error)
	listenPacket func(network, addr string) (net.PacketConn, error)
}

// envs returns every environment: the kernel, which is the specification,
// first.
func envs(t testing.TB) []env {
	return []env{kernelEnv(), loopbackEnv(t), pipeEnv(t, phy.MediumEthernet), pipeEnv(t, phy.MediumIP)}
}

// smolnetEnvs are those of envs that are ours.
func smolnetEnvs(t testing.TB) []env { return envs(t)[1:] }

func kernelEnv() env {
	var d net.Dialer
	return env{
		name: "kernel", host: "127.0.0.1", host6: "::1",
		dial: d.DialContext, listen: net.Listen, listenPacket: net.ListenPacket,
	}
}

// loopbackEnv is one stack that talks to itself at 127.0.0.1.
func loopbackEnv(t testing.TB) env {
	st, _ := twostacks.New(t, phy.MediumIP)
	return stackEnv("smolnet loopback", "127.0.0.1", "::1", st, st)
}

// pipeEnv is two stacks joined in memory.
func pipeEnv(t testing.TB, medium phy.Medium) env {
	server, client := twostacks.New(t, medium)
	return stackEnv("smolnet pipe "+medium.String(), twostacks.A4.Addr().String(), twostacks.A6.Addr().String(), server, client)
}

func stackEnv(name, host, host6 string, server, client *netstack.Stack) env {
	d := dialer.Dialer{Stack: client}
	return env{
		name: name, host: host, host6: host6, dial: d.DialContext,
		listen: func(network, addr string) (net.Listener, error) { return listener.Listen(server, network, addr) },
		listenPacket: func(network, addr string) (net.PacketConn, error) {
			return listener.ListenPacket(server, network, addr)
		},
	}
}

// pair returns the two ends of a fresh TCP connection, and closes them when
// the test ends.
func (e env) pair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := e.listen("tcp4", e.host+":0")
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	client, err = e.dial(context.Background(), "tcp4", l.Addr().String())
	require.NoError(t, err)
	server, ok := <-accepted
	require.True(t, ok, "accept failed")
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
