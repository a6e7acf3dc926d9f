package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"smolnet/dialer"
	"smolnet/netstack"
)

// fetch gets url with net/http over the stack and copies the body to out. A
// status other than 2xx is an error, as curl -f has it.
func fetch(ctx context.Context, st *netstack.Stack, url string, out io.Writer) error {
	d := dialer.Dialer{Stack: st}
	client := http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	_, err = io.Copy(out, resp.Body)
	return err
}
