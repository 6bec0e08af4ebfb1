package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// packOptions are the flags of pack and push.
type packOptions struct {
	tag, repository, out string
	fast                 bool
	sources              sources
	names                []string
}

func packCommand(ctx context.Context, command string, args []string, at time.Time, out io.Writer) error {
	var o packOptions
	f := flags(command)
	f.StringVar(&o.tag, "tag", "", "tag of the images; not latest, which says nothing about what runs")
	f.StringVar(&o.repository, "repository", "localhost", "registry and path before the images' names")
	f.StringVar(&o.out, "o", "images.tar", "file to write (pack)")
	f.BoolVar(&o.fast, "fast", false, "compress less: for tests")
	f.StringVar(&o.sources.root, "root", ".", "the repository")
	f.StringVar(&o.sources.binary, "binary", "", "a static llmctl; built when empty")
	f.StringVar(&o.sources.host, "host", "/", "root of the system whose nginx, busybox and certificates are taken")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.names, o.sources.version = f.Args(), o.tag
	if o.tag == "" || o.tag == "latest" {
		return fmt.Errorf("-tag is %q; accepted is any tag but latest", o.tag)
	}
	chosen, err := choose(o.names)
	if err != nil {
		return err
	}
	if o.sources.binary == "" {
		remove, err := build(ctx, &o.sources, o.tag)
		if err != nil {
			return err
		}
		defer remove()
	}
	images, err := assemble(chosen, o, at)
	if err != nil {
		return err
	}
	if command == "push" {
		return push(ctx, images, out)
	}
	if err := save(o.out, images); err != nil {
		return err
	}
	return tell(out, images)
}

// choose finds images by name; all when there is none.
func choose(names []string) ([]image, error) {
	all := catalogue()
	if len(names) == 0 {
		return all, nil
	}
	var out []image
	for _, n := range names {
		at := slices.IndexFunc(all, func(i image) bool { return i.Name == n })
		if at < 0 {
			return nil, fmt.Errorf("no image %q; `image list` shows those there are", n)
		}
		out = append(out, all[at])
	}
	return out, nil
}

// buildFlags make the same bytes of the same sources: no paths, no build id, and nothing
// of the checkout, whose state differs between a clone and an archive. What runs is called
// by the image's tag.
func buildFlags(version string) []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X github.com/llmctl/studio/internal/app.version=" + version}
}

// build compiles llmctl for the images.
func build(ctx context.Context, s *sources, version string) (remove func(), err error) {
	dir, err := os.MkdirTemp("", "llmctl-image")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	s.binary = filepath.Join(dir, "llmctl")
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build"}, buildFlags(version)...), "-o", s.binary, "./cmd/llmctl")...) //nolint:gosec // our own flags
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		remove()
		return nil, fmt.Errorf("build llmctl: %w", err)
	}
	return remove, nil
}

// assemble packs images; a part that several have becomes one layer of all of them.
func assemble(chosen []image, o packOptions, at time.Time) (map[name.Reference]v1.Image, error) {
	layers := map[part]v1.Layer{}
	out := map[name.Reference]v1.Image{}
	for _, i := range chosen {
		var own []v1.Layer
		for _, p := range i.Parts {
			if layers[p] == nil {
				entries, err := p.entries(o.sources)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", i.Name, err)
				}
				if layers[p], err = layer(entries, at, o.fast); err != nil {
					return nil, fmt.Errorf("%s: %w", i.Name, err)
				}
			}
			own = append(own, layers[p])
		}
		ref, err := name.ParseReference(o.repository+"/"+i.Name+":"+o.tag, name.StrictValidation)
		if err != nil {
			return nil, err
		}
		if out[ref], err = compose(own, config(i), at); err != nil {
			return nil, fmt.Errorf("%s: %w", i.Name, err)
		}
	}
	return out, nil
}

func config(i image) v1.Config {
	ports := map[string]struct{}{}
	for _, p := range i.Ports {
		ports[p+"/tcp"] = struct{}{}
	}
	return v1.Config{
		Entrypoint: i.Start[:1], Cmd: i.Start[1:], User: i.User, WorkingDir: "/", ExposedPorts: ports,
		Env:    append([]string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, i.Env...),
		Labels: map[string]string{"org.opencontainers.image.title": i.Name, "org.opencontainers.image.description": i.Title},
	}
}

// compose makes an image of layers.
func compose(layers []v1.Layer, c v1.Config, at time.Time) (v1.Image, error) {
	i, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	file, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Config, file.Architecture, file.OS, file.Created = c, architecture(), "linux", v1.Time{Time: at}
	for n := range file.History {
		file.History[n].Created = v1.Time{Time: at}
	}
	return mutate.ConfigFile(i, file)
}

// save writes all of them into one tarball, whole or not at all.
func save(path string, images map[name.Reference]v1.Image) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // images are no secrets
		return err
	}
	f, err := os.CreateTemp(dir, ".image")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := errors.Join(archive(f, images), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func push(ctx context.Context, images map[name.Reference]v1.Image, out io.Writer) error {
	for _, ref := range sorted(images) {
		if err := remote.Write(ref, images[ref], remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return tell(out, images)
}

// tell says what was made, by digest.
func tell(out io.Writer, images map[name.Reference]v1.Image) error {
	for _, ref := range sorted(images) {
		digest, err := images[ref].Digest()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s@%s\n", ref, digest); err != nil {
			return err
		}
	}
	return nil
}

func sorted(images map[name.Reference]v1.Image) []name.Reference {
	out := make([]name.Reference, 0, len(images))
	for ref := range images {
		out = append(out, ref)
	}
	slices.SortFunc(out, func(a, b name.Reference) int { return strings.Compare(a.String(), b.String()) })
	return out
}
