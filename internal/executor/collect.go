package executor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"syscall"
)

// maxEntries bounds how many files and folders are looked at.
const maxEntries = 4096

// Collected is what was found in a folder of artifacts.
type Collected struct {
	Artifacts []Artifact
	Skipped   []string // links, sockets and other entries that are not files
	Refused   string   // why nothing can be kept; "" if all is well
}

// CollectArtifacts reads the files below workspace/folder. It never leaves the
// workspace: links are not followed, the folder itself included.
func CollectArtifacts(workspace, folder string) (Collected, error) {
	ws, err := os.OpenRoot(workspace)
	if err != nil {
		return Collected{}, fmt.Errorf("open workspace: %w", err)
	}
	defer func() { _ = ws.Close() }()
	info, err := ws.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return Collected{}, nil // the attempt removed it
	}
	if err != nil {
		return Collected{}, fmt.Errorf("open artifacts: %w", err)
	}
	if !info.IsDir() {
		return Collected{Refused: "The folder for artifacts was replaced by something else, which is not read."}, nil
	}
	root, err := ws.OpenRoot(folder)
	if err != nil {
		return Collected{}, fmt.Errorf("open artifacts: %w", err)
	}
	defer func() { _ = root.Close() }()
	c := &collector{root: root}
	err = fs.WalkDir(root.FS(), ".", c.visit)
	if err != nil && !errors.Is(err, errRefused) {
		return Collected{}, fmt.Errorf("read artifacts: %w", err)
	}
	if c.Refused == "" {
		c.Refused = CheckArtifacts(c.Artifacts)
	}
	if c.Refused != "" {
		c.Artifacts = nil
	}
	return c.Collected, nil
}

var errRefused = errors.New("artifacts refused")

type collector struct {
	Collected
	root    *os.Root
	entries int
	total   int64
}

func (c *collector) refuse(format string, args ...any) error {
	c.Refused = fmt.Sprintf(format, args...)
	return errRefused
}

func (c *collector) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return c.refuse("The artifact %q cannot be read: %v.", name, err)
	}
	if c.entries++; c.entries > maxEntries {
		return c.refuse("The folder for artifacts has more than %d entries.", maxEntries)
	}
	switch {
	case d.IsDir():
		return nil
	case !d.Type().IsRegular():
		c.Skipped = append(c.Skipped, name)
		return nil
	case len(c.Artifacts) == MaxArtifacts:
		return c.refuse("The node left more than %d artifacts. Pack them into one file.", MaxArtifacts)
	}
	return c.read(name)
}

func (c *collector) read(name string) error {
	// Should the entry have become a link or a pipe since it was listed, opening it
	// fails or does not block.
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return c.refuse("The artifact %q cannot be read: %v.", name, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return c.refuse("The artifact %q cannot be read: %v.", name, err)
	case !info.Mode().IsRegular():
		c.Skipped = append(c.Skipped, name)
		return nil
	case info.Size() > MaxArtifactBytes:
		c.Refused = tooLargeArtifact(name, info.Size())
		return errRefused
	case c.total+info.Size() > MaxArtifactsBytes:
		return c.refuse("The artifacts of the node have more than %d bytes together.", MaxArtifactsBytes)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxArtifactBytes+1))
	if err != nil {
		return c.refuse("The artifact %q cannot be read: %v.", name, err)
	}
	c.total += int64(len(data))
	c.Artifacts = append(c.Artifacts, Artifact{Name: name, MediaType: mediaType(name, data), Data: data})
	return nil
}

// mediaType goes by the name where it is one of a few well-known ones, which the
// content does not always tell apart, else by the content.
func mediaType(name string, data []byte) string {
	known := map[string]string{
		".json": "application/json", ".csv": "text/csv; charset=utf-8", ".md": "text/markdown; charset=utf-8",
		".svg": "image/svg+xml", ".html": "text/html; charset=utf-8", ".yaml": "application/yaml", ".yml": "application/yaml",
	}
	if t, ok := known[path.Ext(name)]; ok {
		return t
	}
	return http.DetectContentType(data)
}
