package drive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	drivev3 "google.golang.org/api/drive/v3"
	"google.golang.org/api/option"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
)

// Options are one source.
type Options struct {
	FolderID string
	Endpoint string // "": Google's
	Account  string // key file of a service account
	Filter   *fetch.Filter
	Client   *http.Client  // decides which addresses may be reached
	Pause    time.Duration // before the first repetition, later ones wait longer; 0: 1.5 s
}

// Fetcher is one folder.
type Fetcher struct {
	o       Options
	account account
	api     *drivev3.Service
	base    *noting
	bounds  *bounds
}

// noting remembers that an address was refused: whoever fetches tokens makes a text of
// the error.
type noting struct {
	http.RoundTripper
	refused atomic.Pointer[egress.BlockedError]
}

// RoundTrip implements http.RoundTripper.
func (n *noting) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := n.RoundTripper.RoundTrip(req)
	if e, ok := errors.AsType[*egress.BlockedError](err); ok {
		n.refused.Store(e)
	}
	return res, err
}

// New makes a fetcher. Errors: invalid when the account or an address cannot be used.
func New(o Options) (*Fetcher, error) {
	if o.Account == "" {
		return nil, errs.E(errs.Invalid, "rag.drive_no_account",
			"The source has no service account. Give the JSON key file of one, and share the folder with its address.")
	}
	a, problem := parseAccount(o.Account)
	if problem != "" {
		return nil, errs.Ef(errs.Invalid, "rag.drive_account", "The service account's file %s.", problem)
	}
	if problem := CheckEndpoint(o.Endpoint); problem != "" {
		return nil, errs.Ef(errs.Invalid, "rag.drive_endpoint", "The address of the Drive server %s.", problem)
	}
	if o.Pause == 0 {
		o.Pause = 1500 * time.Millisecond
	}
	most := &bounds{entries: maxEntries, pages: maxPages, answer: maxAnswer}
	base := &noting{RoundTripper: bounded{o.Client.Transport, most}}
	tokens := &http.Client{Transport: base, CheckRedirect: o.Client.CheckRedirect, Timeout: requestTime}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, tokens) // for tokens; requests have contexts of their own
	client := &http.Client{
		Transport:     &oauth2.Transport{Base: base, Source: a.config().TokenSource(ctx)},
		CheckRedirect: o.Client.CheckRedirect,
	}
	options := []option.ClientOption{option.WithHTTPClient(client), option.WithUserAgent("llmctl-studio")}
	if o.Endpoint != "" {
		options = append(options, option.WithEndpoint(o.Endpoint+"/drive/v3/"))
	}
	api, err := drivev3.NewService(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("set up the Drive client: %w", err)
	}
	return &Fetcher{o: o, account: a, api: api, base: base, bounds: most}, nil
}

const folderType = "application/vnd.google-apps.folder"

// Check implements fetch.Fetcher.
func (f *Fetcher) Check(ctx context.Context) (fetch.Report, error) {
	name, err := f.folder(ctx)
	if err != nil {
		return fetch.Report{}, err
	}
	return fetch.Report{Message: fmt.Sprintf("The folder %q can be read by %s.", name, f.account.ClientEmail)}, nil
}

// folder gives the name of the source's folder.
func (f *Fetcher) folder(ctx context.Context) (string, error) {
	var got *drivev3.File
	err := f.try(ctx, nil, func(ctx context.Context) (err error) {
		got, err = f.api.Files.Get(f.o.FolderID).SupportsAllDrives(true).Fields("id, name, mimeType").Context(ctx).Do()
		return err
	})
	if err != nil {
		return "", err
	}
	if got.MimeType != folderType {
		return "", errs.Ef(errs.Invalid, "rag.drive_no_folder", "%q is a file, not a folder. Give the id of the folder that it lies in.", short(got.Name))
	}
	return short(got.Name), nil
}

// Sync implements fetch.Fetcher: it lists the folder.
func (f *Fetcher) Sync(ctx context.Context, tell fetch.Progress) (fetch.Tree, error) {
	if tell == nil {
		tell = func(string) {}
	}
	name, err := f.folder(ctx)
	if err != nil {
		return nil, err
	}
	tell(fmt.Sprintf("Listing the folder %q.", name))
	l := &listing{f: f, tell: tell, seen: map[string]bool{f.o.FolderID: true}}
	if err := l.all(ctx); err != nil {
		return nil, err
	}
	return newTree(f, l), nil
}
