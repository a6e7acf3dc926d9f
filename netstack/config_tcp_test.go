package netstack

import (
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

func mine() congestion.Controller { return new(mineController) }

// A mineController is Reno under another name.
type mineController struct{ congestion.Reno }

func (*mineController) Name() string { return "mine" }

// valueFor returns a value for a field that is not its default.
func valueFor(t *testing.T, name string, typ reflect.Type) reflect.Value {
	t.Helper()
	switch v := reflect.New(typ).Elem(); {
	case typ == reflect.TypeFor[congestion.Factory]():
		return reflect.ValueOf(congestion.Factory(mine))
	case typ == reflect.TypeFor[ECNMode]():
		return reflect.ValueOf(ECNOff)
	case typ == reflect.TypeFor[time.Duration]():
		v.SetInt(int64(123 * time.Millisecond))
		return v
	case v.CanInt():
		v.SetInt(2345)
		return v
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
		return v
	case v.Kind() == reflect.String:
		v.SetString("bbr")
		return v
	case v.Kind() == reflect.Map:
		return reflect.ValueOf(map[string]congestion.Factory{"mine": mine})
	}
	t.Fatalf("%s is of type %v, which this test does not know", name, typ)
	return reflect.Value{}
}

// changed returns the fields of tcp.Config that are not what they are by default.
func changed(a, b tcp.Config) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		f, g := x.Field(i), y.Field(i)
		if f.Kind() == reflect.Func && f.IsNil() != g.IsNil() || f.Kind() != reflect.Func && !f.Equal(g) {
			names = append(names, x.Type().Field(i).Name)
		}
	}
	return names
}

// Every field of tcp.Config can be reached by one of TCPConfig, and every one of
// those reaches what has its name, and nothing else.
func TestEveryTCPSettingIsReachable(t *testing.T) {
	// What is named otherwise, and what needs no counterpart.
	other := map[string][]string{
		"Nagle":             {"NoDelay"},
		"CongestionControl": {"Congestion"},
		"Controllers":       nil, // reached by name
	}
	defaults := new(TCPConfig).core(0)
	reached := map[string]bool{}
	typ := reflect.TypeFor[TCPConfig]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		var c TCPConfig
		reflect.ValueOf(&c).Elem().Field(i).Set(valueFor(t, f.Name, f.Type))
		require.NoError(t, c.validate(), f.Name)
		want, ok := other[f.Name]
		if !ok {
			want = []string{f.Name}
		}
		got := changed(defaults, c.core(0))
		require.Equal(t, want, got, "TCPConfig.%s", f.Name)
		for _, name := range got {
			reached[name] = true
		}
	}
	for _, name := range changed(defaults, new(TCPConfig).core(time.Second)) {
		reached[name] = true // Config.TimerSlack
	}
	all := reflect.TypeFor[tcp.Config]()
	for i := range all.NumField() {
		require.True(t, reached[all.Field(i).Name], "no field of TCPConfig sets tcp.Config.%s", all.Field(i).Name)
	}
}

func TestControllersByName(t *testing.T) {
	c := TCPConfig{Controllers: map[string]congestion.Factory{"mine": mine, "yours": mine}}
	for name, want := range map[string]string{"bbr": "bbr", "cubic": "cubic", "reno": "reno", "none": "none", "mine": "mine", "yours": "mine"} {
		f, err := c.controller(name)
		require.NoError(t, err)
		require.Equal(t, want, f().Name())
		c.CongestionControl = name
		require.NoError(t, c.validate())
		require.Equal(t, want, c.core(0).Congestion().Name())
	}
	for _, name := range []string{"", "CUBIC", "vegas"} {
		_, err := c.controller(name)
		require.ErrorIs(t, err, syscall.ENOENT)
		require.ErrorContains(t, err, "there are bbr, cubic, mine, none, reno, yours")
	}
}

func TestControllersThatMakeNoSense(t *testing.T) {
	for want, c := range map[string]TCPConfig{
		`TCP.CongestionControl: no congestion controller is called "vegas": there are bbr, cubic, none, reno`: {CongestionControl: "vegas"},
		"TCP.CongestionControl and TCP.Congestion are both set":                                               {CongestionControl: "bbr", Congestion: mine},
		"TCP.Controllers has one without a name":                                                              {Controllers: map[string]congestion.Factory{"": mine}},
		`TCP.Controllers has "bbr", which is the name of another one`:                                         {Controllers: map[string]congestion.Factory{"bbr": mine}},
		`TCP.Controllers has nil for "mine"`:                                                                  {Controllers: map[string]congestion.Factory{"mine": nil}},
	} {
		require.EqualError(t, c.validate(), want)
	}
}
