// Command image packs the Studio's images without a container engine, and writes the
// Dockerfile that makes the same ones with an engine. Both come from the catalogue in
// catalogue.go: what is in which image is said once.
//
//	image list                                      the images and what they are for
//	image dockerfile [-check]                       write docker/Dockerfile, or fail when it is old
//	image pack -tag 1.2.3 -o FILE [NAME...]         one tarball, for docker load and ctr images import
//	image push -tag 1.2.3 -repository HOST/PATH [NAME...]
//	image host -ref NAME:TAG -o FILE -program P ... an image of this machine's programs, for tests
//
// The same sources give the same bytes: entries are sorted, and all times are
// SOURCE_DATE_EPOCH (0 when unset).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"), os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

const usage = "usage: image list | dockerfile | pack | push | host; -h after one of them shows its flags"

func run(ctx context.Context, args []string, epoch string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	at, err := times(epoch)
	if err != nil {
		return err
	}
	switch args[0] {
	case "list":
		return list(out)
	case "dockerfile":
		return dockerfileCommand(args[1:])
	case "pack", "push":
		return packCommand(ctx, args[0], args[1:], at, out)
	case "host":
		return hostCommand(ctx, args[1:], at, out)
	}
	return fmt.Errorf("no command %q; %s", args[0], usage)
}

// times is the time of all files, from SOURCE_DATE_EPOCH.
func times(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q; accepted is a number of seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func list(out io.Writer) error {
	for _, i := range catalogue() {
		if _, err := fmt.Fprintf(out, "%-26s %s\n", i.Name, i.Title); err != nil {
			return err
		}
	}
	return nil
}

// many is a flag that may be given several times.
type many []string

func (m *many) String() string { return strings.Join(*m, ",") }

func (m *many) Set(value string) error {
	*m = append(*m, value)
	return nil
}

func flags(name string) *flag.FlagSet { return flag.NewFlagSet("image "+name, flag.ContinueOnError) }
