package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// architecture is what this machine's programs run on.
func architecture() string { return runtime.GOARCH }

// applets are the names that a busybox answers to.
func applets(path string) ([]string, error) {
	raw, err := exec.Command(path, "--list").Output() //nolint:noctx // ends at once
	return strings.Fields(string(raw)), err
}

// programs are programs of this machine with the shared libraries they load.
func programs(host string, paths ...string) ([]entry, error) {
	if host != "/" && host != "" {
		return nil, fmt.Errorf("libraries can be found on the running system only, not below %s", host)
	}
	var out []entry
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return nil, err
		}
		out = append(out, entry{path: p, mode: 0o755, source: p})
		libraries, err := libraries(p)
		if err != nil {
			return nil, err
		}
		for _, l := range libraries {
			out = append(out, entry{path: l, mode: 0o755, source: l})
		}
	}
	return out, nil
}

// libraries are what the loader would load for a program, and the loader.
func libraries(program string) ([]string, error) {
	raw, err := exec.Command("ldd", program).CombinedOutput() //nolint:gosec,noctx // ends at once
	if err != nil {
		if strings.Contains(string(raw), "not a dynamic executable") || strings.Contains(string(raw), "statically linked") {
			return nil, nil
		}
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, raw)
	}
	var out []string
	lines := bufio.NewScanner(strings.NewReader(string(raw)))
	for lines.Scan() {
		if strings.Contains(lines.Text(), "not found") {
			return nil, fmt.Errorf("%s needs a library that is missing: %s", program, strings.TrimSpace(lines.Text()))
		}
		for field := range strings.FieldsSeq(lines.Text()) {
			if strings.HasPrefix(field, "/") {
				out = append(out, field)
			}
		}
	}
	return out, lines.Err()
}

// hostCommand packs programs of this machine: databases and such for tests.
func hostCommand(ctx context.Context, args []string, at time.Time, out io.Writer) error {
	var ref, file, entrypoint, user, stop string
	var binaries, trees, files, environ many
	f := flags("host")
	f.StringVar(&ref, "ref", "", "name and tag of the image")
	f.StringVar(&file, "o", "image.tar", "file to write")
	f.StringVar(&entrypoint, "entrypoint", "", "what it starts, separated by spaces")
	f.StringVar(&user, "user", user, "numeric user and group")
	f.StringVar(&stop, "stop-signal", "", "what ends it; SIGTERM when empty")
	f.Var(&binaries, "program", "a program with its libraries, or a shared object; may be repeated")
	f.Var(&trees, "tree", "a folder, taken whole; may be repeated")
	f.Var(&files, "file", "SOURCE=TARGET[=MODE]; may be repeated")
	f.Var(&environ, "env", "NAME=VALUE; may be repeated")
	shellToo := f.Bool("shell", false, "busybox as well")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := hostEntries(binaries, trees, files, *shellToo)
	if err != nil {
		return err
	}
	l, err := layer(entries, at, true)
	if err != nil {
		return err
	}
	parsed, err := name.ParseReference(ref, name.StrictValidation)
	if err != nil {
		return err
	}
	c := v1.Config{User: user, Env: append([]string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, environ...), Entrypoint: strings.Fields(entrypoint), StopSignal: stop}
	i, err := compose([]v1.Layer{l}, c, at)
	if err != nil {
		return err
	}
	images := map[name.Reference]v1.Image{parsed: i}
	return errors.Join(save(file, images), tell(out, images))
}

func hostEntries(binaries, trees, files []string, shellToo bool) ([]entry, error) {
	out, err := programs("/", binaries...)
	if err != nil {
		return nil, err
	}
	for _, t := range trees {
		more, err := tree(t, t, func(string) bool { return true })
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	for _, f := range files {
		e, err := parseFile(f)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if shellToo {
		more, err := shell{}.entries(sources{host: "/"})
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return append(out, entry{path: "/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777}), nil
}

func parseFile(text string) (entry, error) {
	fields := strings.Split(text, "=")
	if len(fields) < 2 || len(fields) > 3 || !filepath.IsAbs(fields[1]) {
		return entry{}, fmt.Errorf("-file is %q; accepted is SOURCE=TARGET or SOURCE=TARGET=x for a program, TARGET absolute", text)
	}
	e := entry{path: fields[1], mode: 0o644, source: fields[0]}
	if len(fields) == 3 {
		e.mode = 0o755
	}
	return e, nil
}
