// Command slows3 is a reverse proxy that makes a local S3 server as slow as a real one. It prints its address.
//
//	go run ./cmd/slows3 -to http://127.0.0.1:7070 [-listen 127.0.0.1:0] [-profile standard|express] [-seed N]
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/runnel-io/runnel/integration/slows3"
)

func main() {
	to := flag.String("to", "", "URL of the S3 server")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	profile := flag.String("profile", "standard", "standard or express")
	seed := flag.Uint64("seed", 1, "of the latencies")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *to, *listen, *profile, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "slows3:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, to, listen, profile string, seed uint64) error {
	server, err := url.Parse(to)
	if err != nil || server.Host == "" {
		return fmt.Errorf("-to must be the URL of a server, not %q", to)
	}
	p, err := slows3.ByName(profile)
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", ln.Addr())
	return slows3.New(server, slows3.NewDraws(p, seed)).Serve(ctx, ln)
}
