package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// part is a layer of an image. The same part says how it is packed here and how a
// Dockerfile makes it.
type part interface {
	entries(s sources) ([]entry, error)
	// instructions are the lines of the image's stage.
	instructions() []string
}

// sources are where parts come from on this machine.
type sources struct {
	root    string // of the repository
	binary  string // the built program
	version string // the images' tag
	host    string // "/": whose nginx, busybox and certificates are taken
}

// base is a part that an engine has from another image, which its stage starts with.
type base interface{ from() string }

// binary is llmctl, with the page inside.
type binary struct{}

func (binary) entries(s sources) ([]entry, error) {
	return []entry{{path: program, mode: 0o755, source: s.binary}}, nil
}

func (binary) instructions() []string {
	return []string{"COPY --from=build /out/llmctl " + program}
}

const bundle = "/etc/ssl/certs/ca-certificates.crt"

// certificates are the public authorities.
type certificates struct{}

func (certificates) entries(s sources) ([]entry, error) {
	if _, err := os.Stat(filepath.Join(s.host, bundle)); err != nil {
		return nil, fmt.Errorf("certificates: %w (install ca-certificates)", err)
	}
	return []entry{{path: bundle, mode: 0o644, source: filepath.Join(s.host, bundle)}}, nil
}

func (certificates) instructions() []string {
	return []string{"COPY --from=build " + bundle + " " + bundle}
}

// folders are what a program expects of any root: a place for temporary files, one for
// data, and names for the account. Manifests mount volumes over the first two.
type folders struct{}

const (
	passwd = "root:x:0:0:root:/:/sbin/nologin\nstudio:x:65532:65532:llmctl Studio:/data:/sbin/nologin\n" //nolint:gosec // no password in it
	group  = "root:x:0:\nstudio:x:65532:\n"
)

func (folders) entries(sources) ([]entry, error) {
	return []entry{
		{path: "/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{path: "/data", mode: fs.ModeDir | 0o700, owner: uid},
		{path: "/etc/passwd", mode: 0o644, content: []byte(passwd)},
		{path: "/etc/group", mode: 0o644, content: []byte(group)},
	}, nil
}

func (folders) instructions() []string { return []string{"COPY --from=build /out/root/ /"} }

// foldersRecipe makes the same in the Dockerfile's build stage.
func foldersRecipe() string {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "\n", `\n`) + "'" }
	return "mkdir -p /out/root/tmp /out/root/data /out/root/etc && chmod 1777 /out/root/tmp && chmod 700 /out/root/data && chown " + user + " /out/root/data" +
		" && printf " + quoted(passwd) + " >/out/root/etc/passwd && printf " + quoted(group) + " >/out/root/etc/group"
}

// shell is a static busybox with all its names.
type shell struct{}

func (shell) entries(s sources) ([]entry, error) {
	path := filepath.Join(s.host, "bin/busybox")
	names, err := applets(path)
	if err != nil {
		return nil, fmt.Errorf("busybox: %w (install busybox-static)", err)
	}
	out := []entry{{path: "/bin/busybox", mode: 0o755, source: path}}
	for _, name := range names {
		if name != "busybox" {
			out = append(out, entry{path: "/bin/" + name, link: "busybox"})
		}
	}
	return out, nil
}

func (shell) instructions() []string {
	return []string{"COPY --from=busybox:1.37.0-musl /bin/ /bin/"}
}

// page is the built page as files.
type page struct{}

const pageFolder = "/usr/share/llmctl/web"

func (page) entries(s sources) ([]entry, error) {
	dist := filepath.Join(s.root, "web/dist")
	if _, err := os.Stat(filepath.Join(dist, "index.html")); err != nil {
		return nil, errors.New("web/dist has no page; run `make build` first")
	}
	return tree(dist, pageFolder, func(path string) bool { return !strings.HasPrefix(filepath.Base(path), ".") })
}

func (page) instructions() []string {
	return []string{"COPY --from=page /src/web/dist/ " + pageFolder + "/"}
}

// version tells nginx the image's tag, for the page to show.
type version struct{}

const versionFile = "/etc/nginx/version.conf"

func (version) entries(s sources) ([]entry, error) {
	return []entry{{path: versionFile, mode: 0o644, content: fmt.Appendf(nil, versionText, s.version)}}, nil
}

const versionText = "map \"\" $studio_version { default \"%s\"; }\n"

func (version) instructions() []string {
	return []string{"COPY --from=build /out/version.conf " + versionFile}
}

// versionRecipe makes the same in the Dockerfile's build stage.
func versionRecipe() string {
	return "printf '" + strings.ReplaceAll(versionText, "\n", `\n`) + `' "${VERSION}" >/out/version.conf`
}

// file is one of the repository.
type file struct{ source, target string }

func (f file) entries(s sources) ([]entry, error) {
	return []entry{{path: f.target, mode: 0o644, source: filepath.Join(s.root, f.source)}}, nil
}

func (f file) instructions() []string { return []string{"COPY " + f.source + " " + f.target} }

// nginx is an engine's base image; here it is this machine's, with its libraries.
type nginx struct{}

func (nginx) from() string { return "nginxinc/nginx-unprivileged:1.28.0-bookworm" }

func (nginx) entries(s sources) ([]entry, error) {
	out, err := programs(s.host, "/usr/sbin/nginx")
	if err != nil {
		return nil, fmt.Errorf("nginx: %w (install nginx)", err)
	}
	return append(out,
		entry{path: "/etc/nginx/mime.types", mode: 0o644, source: filepath.Join(s.host, "etc/nginx/mime.types")},
		entry{path: "/etc/passwd", mode: 0o644, content: []byte(passwd)},
		entry{path: "/etc/group", mode: 0o644, content: []byte(group)},
		entry{path: "/etc/nsswitch.conf", mode: 0o644, content: []byte("hosts: files dns\n")},
		entry{path: "/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
	), nil
}

func (nginx) instructions() []string { return nil }
