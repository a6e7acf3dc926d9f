package cli

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
	"smolnet/phy"
)

// TestDevice: a new interface is created, with the host's addresses.
func TestDevice(t *testing.T) {
	for _, kind := range []struct {
		flag   string
		medium phy.Medium
	}{{"-tap", phy.MediumEthernet}, {"-tun", phy.MediumIP}} {
		t.Run(kind.flag, func(t *testing.T) {
			netns.NeedPrograms(t, "ip")
			ns := netns.New(t)
			ns.Do(func() {
				dev, err := options(t, kind.flag, "cli0").Device()
				require.NoError(t, err)
				defer dev.Close()
				require.Equal(t, kind.medium, dev.Capabilities().Medium)
				have := ns.Output("ip", "-o", "addr", "show", "dev", "cli0")
				for _, p := range []netip.Prefix{HostAddr4, HostAddr6, HostLinkLocal} {
					require.Contains(t, have, " "+p.String()+" ")
				}
				require.Contains(t, ns.Output("ip", "link", "show", "dev", "cli0"), ",UP")
			})
		})
	}
}

// TestDeviceThere: an interface that is there already is the user's.
func TestDeviceThere(t *testing.T) {
	netns.NeedPrograms(t, "ip")
	ns := netns.New(t)
	ns.Output("ip", "tuntap", "add", "dev", "cli0", "mode", "tap")
	ns.Do(func() {
		dev, err := options(t, "-tap", "cli0").Device()
		require.NoError(t, err)
		defer dev.Close()
		require.NotContains(t, ns.Output("ip", "-o", "addr", "show", "dev", "cli0"), "192.168.69")
	})
}

// TestDeviceErrors: nothing is left behind when the device cannot be had.
func TestDeviceErrors(t *testing.T) {
	netns.NeedPrograms(t, "ip")
	ns := netns.New(t)
	ns.Do(func() {
		_, err := options(t, "-tap", "lo").Device()
		require.Error(t, err, "lo is no TAP")

		_, err = options(t, "-tap", "cli0", "-pcap", filepath.Join(t.TempDir(), "no", "x.pcap")).Device()
		require.ErrorIs(t, err, os.ErrNotExist)
		require.NotContains(t, ns.Output("ip", "link", "show"), "cli0")

		dev, err := options(t, "-tap", "cli0").Device()
		require.NoError(t, err)
		defer dev.Close()
		_, err = options(t, "-tap", "cli0").Device()
		require.ErrorContains(t, err, "in use by another program")
	})
}

// TestStack: the machine reaches an example's stack at both of its addresses.
func TestStack(t *testing.T) {
	netns.NeedPrograms(t, "ping")
	for _, flag := range []string{"-tap", "-tun"} {
		t.Run(flag, func(t *testing.T) {
			ns := netns.New(t)
			ns.Do(func() {
				st, err := options(t, flag, "cli0").Stack()
				require.NoError(t, err)
				defer st.Close()
				for _, p := range []netip.Prefix{StackAddr4, StackAddr6} {
					ns.Output("ping", "-c", "1", "-W", "5", p.Addr().String())
				}
				ns.Output("ping", "-c", "1", "-W", "5", StackLinkLocal.Addr().String()+"%cli0")
			})
		})
	}
}

// TestWithoutRights: a program that may not create its device says so in one
// line.
func TestWithoutRights(t *testing.T) {
	netns.NeedPrograms(t, "setpriv")
	ns := netns.New(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := ns.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", exe, "-tap", "cli0")
	cmd.Env = append(os.Environ(), asProgram+"=device")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v", err)
	require.Equal(t, statusError, exit.ExitCode(), stderr.String())
	require.Empty(t, out)
	require.Contains(t, stderr.String(), "needs root or CAP_NET_ADMIN")
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
}
