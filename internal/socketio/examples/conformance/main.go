package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/socketio"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:3000", "address to serve on")
	peers := flags.String("peers", "", "addresses of all servers of the group, with commas between; this one may be among them")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var others []string
	if *peers != "" {
		others = strings.Split(*peers, ",")
	}
	g, err := newGroup(*listen, others)
	if err != nil {
		return err
	}
	handler, shutdown, err := newHandler(g)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(stderr, "serving on", listener.Addr())
	web := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = web.Close()
	}()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return shutdown()
}

// newHandler serves /engine.io/ for the one suite and /socket.io/ for the other. The
// first echoes messages; its sessions have no namespaces.
func newHandler(g *group) (http.Handler, func() error, error) {
	opts := socketio.Options{
		PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond,
		SessionPrefix: g.prefix, Forward: g.forward,
	}
	engine, err := socketio.New(opts)
	if err != nil {
		return nil, nil, err
	}
	engine.HandleRaw(func(s socketio.RawSession, data []byte, binary bool) { _ = s.Send(data, binary) })
	server, err := socketio.New(opts)
	if err != nil {
		return nil, nil, err
	}
	server.Namespace("/", echo())
	server.Namespace("/custom", echo())
	mux := http.NewServeMux()
	engine.Mount(mux, "/engine.io")
	server.Mount(mux, "/socket.io")
	return mux, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return errors.Join(engine.Shutdown(ctx), server.Shutdown(ctx))
	}, nil
}
