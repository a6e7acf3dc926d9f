package script

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/errno"
)

// Names in scripts are Go's names in lower case, with dashes wherever they help
// the reader: min-rto and minrto both mean MinRTO. They are looked up by
// reflection, so that new fields and methods can be used at once.

// fold returns what counts of a name.
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "-", "")) }

// SetField sets the field of the struct that target points to, by its name in
// scripts; a dot leads into a struct that is a field. The words are its value:
// a number, a duration, on or off, the name of an enumeration's value or of a
// congestion controller. "off" is the negative number that turns a number or a
// duration off.
func SetField(target any, name string, words []string) error {
	v, err := field(reflect.ValueOf(target).Elem(), name)
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return fmt.Errorf("%s needs one value", name)
	}
	return setValue(v, words[0])
}

// HasField reports whether SetField knows a name.
func HasField(target any, name string) bool {
	_, err := field(reflect.ValueOf(target).Elem(), name)
	return err == nil
}

// Call calls target's method Set<Name>: an argument of type clock.Time is now,
// the others are the words. The error is the method's, if it returns one, or says
// what is wrong with the call.
func Call(target any, now clock.Time, name string, words []string) error {
	v := reflect.ValueOf(target)
	want := "set" + fold(name)
	for i := range v.NumMethod() {
		if m := v.Type().Method(i); strings.ToLower(m.Name) == want {
			return call(v.Method(i), now, name, words)
		}
	}
	return fmt.Errorf("there is nothing called %q to set on a %T", name, target)
}

func call(m reflect.Value, now clock.Time, name string, words []string) error {
	t := m.Type()
	var in []reflect.Value
	for i := range t.NumIn() {
		if t.In(i) == reflect.TypeFor[clock.Time]() {
			in = append(in, reflect.ValueOf(now))
			continue
		}
		if len(words) == 0 {
			return fmt.Errorf("%s needs more values", name)
		}
		arg := reflect.New(t.In(i)).Elem()
		if err := setValue(arg, words[0]); err != nil {
			return err
		}
		in, words = append(in, arg), words[1:]
	}
	if len(words) > 0 {
		return fmt.Errorf("%s has no use for %q", name, words[0])
	}
	for _, out := range m.Call(in) {
		if err, ok := out.Interface().(error); ok && err != nil {
			return err
		}
	}
	return nil
}

// field finds a field by its name.
func field(v reflect.Value, name string) (reflect.Value, error) {
	for part := range strings.SplitSeq(name, ".") {
		if v.Kind() != reflect.Struct {
			return v, fmt.Errorf("there is no %q in a %s", part, v.Type())
		}
		found, ok := v.Type().FieldByNameFunc(func(f string) bool { return fold(f) == fold(part) })
		if !ok || !found.IsExported() {
			return v, fmt.Errorf("there is no %q in a %s", part, v.Type())
		}
		v = v.FieldByIndex(found.Index)
	}
	return v, nil
}

// maxEnum bounds the search for the value of an enumeration.
const maxEnum = 64

// setValue sets v to what a word says.
func setValue(v reflect.Value, word string) error {
	switch {
	case v.Type() == reflect.TypeFor[congestion.Factory]():
		f, ok := congestion.New(word)
		if !ok {
			return fmt.Errorf("there is no controller called %q", word)
		}
		v.Set(reflect.ValueOf(f))
		return nil
	case v.Type() == reflect.TypeFor[time.Duration]():
		if word == "off" {
			v.SetInt(-1)
			return nil
		}
		d, err := time.ParseDuration(word)
		if err != nil {
			return fmt.Errorf("%q is no duration, such as 200ms", word)
		}
		v.SetInt(int64(d))
		return nil
	case v.Kind() == reflect.Bool:
		if word != "on" && word != "off" {
			return fmt.Errorf("%q should be on or off", word)
		}
		v.SetBool(word == "on")
		return nil
	case v.Kind() == reflect.String:
		v.SetString(word)
		return nil
	case !v.CanInt() && !v.CanUint():
		return fmt.Errorf("scripts have no values of type %s", v.Type())
	case v.Type().Implements(reflect.TypeFor[fmt.Stringer]()):
		return setEnum(v, word)
	}
	return setNumber(v, word)
}

// setEnum looks for the value whose String is the word.
func setEnum(v reflect.Value, word string) error {
	for i := range maxEnum {
		if v.CanInt() {
			v.SetInt(int64(i))
		} else {
			v.SetUint(uint64(i))
		}
		if strings.EqualFold(show(v), word) {
			return nil
		}
	}
	return fmt.Errorf("there is no %s called %q", v.Type(), word)
}

func setNumber(v reflect.Value, word string) error {
	if word == "off" && v.CanInt() {
		v.SetInt(-1)
		return nil
	}
	if v.CanUint() {
		n, err := strconv.ParseUint(word, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is no number of a %s", word, v.Type())
		}
		v.SetUint(n)
		return nil
	}
	n, err := strconv.ParseInt(word, 10, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("%q is no number of a %s", word, v.Type())
	}
	v.SetInt(n)
	return nil
}

// show renders a value as a script has it.
func show(v reflect.Value) string {
	if v.Kind() == reflect.Bool {
		if v.Bool() {
			return "on"
		}
		return "off"
	}
	if v.Kind() == reflect.String && v.String() == "" {
		return "none"
	}
	return dashed(fmt.Sprint(v.Interface()))
}

// dashed makes one word of several.
func dashed(s string) string { return strings.ReplaceAll(s, " ", "-") }

// ErrorName returns the name of an error in scripts: its text with dashes, such
// as connection-timed-out.
func ErrorName(err error) string {
	if err == nil || err == errno.OK {
		return "ok"
	}
	return dashed(err.Error())
}

// ErrorNamed returns the errno of a name. The names of what ICMP tells are known
// as well: net-unreachable, host-unreachable, port-unreachable and
// protocol-unreachable.
func ErrorNamed(name string) (errno.Errno, error) {
	switch name {
	case "net-unreachable":
		return errno.NetUnreach, nil
	case "host-unreachable":
		return errno.HostUnreach, nil
	case "port-unreachable":
		return errno.ConnRefused, nil
	case "protocol-unreachable":
		return errno.ProtoNoSupport, nil
	}
	for e := errno.OK; e < maxEnum; e++ {
		if ErrorName(e) == name {
			return e, nil
		}
	}
	return 0, fmt.Errorf("there is no error called %q", name)
}

// A check is a comparison of a field with a value.
type check struct {
	name, op, want string
}

// operators are those of checks.
var operators = map[string]func(int) bool{
	"=":  func(c int) bool { return c == 0 },
	"!=": func(c int) bool { return c != 0 },
	"<":  func(c int) bool { return c < 0 },
	"<=": func(c int) bool { return c <= 0 },
	">":  func(c int) bool { return c > 0 },
	">=": func(c int) bool { return c >= 0 },
}

var errNoOrder = errors.New("only = and != make sense for it")

// holds evaluates a check on a struct, and returns the value that was found.
func (k *check) holds(info any) (ok bool, got string, err error) {
	v, err := field(reflect.ValueOf(info), k.name)
	if err != nil {
		return false, "", err
	}
	want := reflect.New(v.Type()).Elem()
	text := k.want
	if v.Kind() == reflect.String && text == "none" {
		text = ""
	}
	if v.Kind() == reflect.String {
		got = dashed(v.String())
		want.SetString(text)
		v = reflect.ValueOf(got)
	} else if err := setValue(want, text); err != nil {
		return false, "", fmt.Errorf("%s: %w", k.name, err)
	}
	got = show(v)
	c, ordered := compare(v, want)
	if !ordered && k.op != "=" && k.op != "!=" {
		return false, got, fmt.Errorf("%s: %w", k.name, errNoOrder)
	}
	return operators[k.op](c), got, nil
}

// compare returns the order of two values of one type, and whether they have
// one.
func compare(a, b reflect.Value) (c int, ordered bool) {
	switch {
	case a.CanInt():
		return sign(a.Int() < b.Int(), a.Int() > b.Int()), true
	case a.CanUint():
		return sign(a.Uint() < b.Uint(), a.Uint() > b.Uint()), true
	case a.Kind() == reflect.String:
		return strings.Compare(a.String(), b.String()), false
	}
	return sign(false, !a.Equal(b)), false
}

func sign(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}
