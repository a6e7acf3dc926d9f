package cli

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"smolnet/netstack"
	"smolnet/netstack/congestion"
	"smolnet/phy"
)

// Options are what the flags say of the device to use, of how bad its link is to be
// made, and of the stack on it. The zero value, with neither TAP nor TUN, is no device.
type Options struct {
	TAP  string // name of a TAP interface, to be created or attached to
	TUN  string // name of a TUN interface; not together with TAP
	Pcap string // file to capture to; "" for none

	Congestion string // name of the congestion controller; "" for the stack's default

	DropChance      int           // percent of the frames that get lost, each way
	CorruptChance   int           // percent of the frames that get a byte changed, each way
	SizeLimit       int           // frames of more bytes are lost; zero for none
	TxRateLimit     int           // frames sent in an interval, more are lost; zero for no limit
	RxRateLimit     int           // frames received in an interval
	ShapingInterval time.Duration // the interval
}

// Flags adds the flags that all examples have to fs, and returns where their
// values will be. What they say is checked as they are read.
func Flags(fs *flag.FlagSet) *Options {
	o := &Options{ShapingInterval: phy.DefaultShapingInterval}
	fs.Var(&device{&o.TAP, &o.TUN, "-tun"}, "tap", "attach to the TAP interface `NAME`, creating it if need be")
	fs.Var(&device{&o.TUN, &o.TAP, "-tap"}, "tun", "attach to the TUN interface `NAME`, creating it if need be")
	fs.Var((*file)(&o.Pcap), "pcap", "write what the stack sends and receives to `FILE`")
	fs.Var((*controller)(&o.Congestion), "congestion", "control congestion by the controller `NAME`: "+strings.Join(congestion.Names(), ", "))
	fs.Var(&number{&o.DropChance, 100}, "drop-chance", "lose this `percentage` of the frames")
	fs.Var(&number{&o.CorruptChance, 100}, "corrupt-chance", "change a byte in this `percentage` of the frames")
	fs.Var(&number{&o.SizeLimit, maxNumber}, "size-limit", "lose frames of more than `N` bytes")
	fs.Var(&number{&o.TxRateLimit, maxNumber}, "tx-rate-limit", "lose frames sent beyond `N` in an interval")
	fs.Var(&number{&o.RxRateLimit, maxNumber}, "rx-rate-limit", "lose frames received beyond `N` in an interval")
	fs.Var((*interval)(&o.ShapingInterval), "shaping-interval", "the interval of the rate limits: a `duration`, or milliseconds")
	return o
}

// maxNumber bounds the limits that have no bound of their own.
const maxNumber = 1 << 30

// maxInterfaceName is Linux's IFNAMSIZ without its final zero.
const maxInterfaceName = 15

// device is the value of -tap or -tun, which exclude each other.
type device struct {
	name      *string
	other     *string
	otherFlag string
}

// String returns the interface's name.
func (d *device) String() string {
	if d.name == nil {
		return ""
	}
	return *d.name
}

// Set takes the interface's name.
func (d *device) Set(s string) error {
	switch {
	case *d.other != "":
		return fmt.Errorf("there is a %s already", d.otherFlag)
	case s == "":
		return errors.New("empty interface name")
	case len(s) > maxInterfaceName:
		return fmt.Errorf("interface names have at most %d bytes", maxInterfaceName)
	case s == "." || s == ".." || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == 0x7f }):
		return errors.New("not an interface name")
	}
	*d.name = s
	return nil
}

// file is the value of a flag that names a file.
type file string

// String returns the file's name.
func (f *file) String() string { return string(*f) }

// Set takes the file's name.
func (f *file) Set(s string) error {
	if s == "" {
		return errors.New("empty file name")
	}
	*f = file(s)
	return nil
}

// controller is the value of -congestion.
type controller string

// String returns the controller's name.
func (c *controller) String() string { return string(*c) }

// Set takes the controller's name.
func (c *controller) Set(s string) error {
	if _, ok := congestion.New(s); !ok {
		return fmt.Errorf("there are %s", strings.Join(congestion.Names(), ", "))
	}
	*c = controller(s)
	return nil
}

// TCP returns what the flags say of a stack's connections.
func (o *Options) TCP() netstack.TCPConfig {
	return netstack.TCPConfig{CongestionControl: o.Congestion}
}

// number is the value of a flag that counts, from zero to limit.
type number struct {
	n     *int
	limit int
}

// String returns the number.
func (v *number) String() string {
	if v.n == nil {
		return "0"
	}
	return strconv.Itoa(*v.n)
}

// Set takes the number.
func (v *number) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return errors.New("not a whole number")
	}
	if n < 0 || n > v.limit {
		return fmt.Errorf("must be from 0 to %d", v.limit)
	}
	*v.n = n
	return nil
}

// interval is the value of a flag that takes a positive time.
type interval time.Duration

// maxInterval bounds a shaping interval.
const maxInterval = time.Hour

// String returns the time.
func (v *interval) String() string { return time.Duration(*v).String() }

// Set takes a duration such as 50ms, or a bare number of milliseconds.
func (v *interval) Set(s string) error {
	d, err := time.ParseDuration(s)
	if ms, e := strconv.ParseUint(s, 10, 32); e == nil {
		d, err = time.Duration(ms)*time.Millisecond, nil
	}
	if err != nil {
		return errors.New("neither a duration nor a number of milliseconds")
	}
	if d <= 0 || d > maxInterval {
		return fmt.Errorf("must be more than 0 and at most %v", maxInterval)
	}
	*v = interval(d)
	return nil
}
