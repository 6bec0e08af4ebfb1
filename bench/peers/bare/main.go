// Command bare is the floor of bench/serving_test.go: net/http and pgx, one query, no
// sign-in, no log, no limits.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const query = `SELECT f.id, f.name, f.description, f.version, coalesce(v.node_count, 0), coalesce(r.id, 0), coalesce(r.status, ''), f.created_at, f.updated_at
FROM flowchart f LEFT JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version
LEFT JOIN LATERAL (SELECT id, status FROM flowchart_run WHERE flowchart_id = f.id ORDER BY id DESC LIMIT 1) r ON true WHERE f.id = $1`

type flowchart struct {
	ID            int64     `json:"id"`
	Name          string    `json:"name"`
	Description   string    `json:"description"`
	Version       int32     `json:"version"`
	NodeCount     int32     `json:"node_count"`
	LastRunID     int64     `json:"last_run_id"`
	LastRunStatus string    `json:"last_run_status"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(address, uri string) error {
	cfg, err := pgxpool.ParseConfig(uri)
	if err != nil {
		return err
	}
	cfg.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/flowcharts/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		var f flowchart
		err := pool.QueryRow(r.Context(), query, id).Scan(&f.ID, &f.Name, &f.Description, &f.Version, &f.NodeCount, &f.LastRunID, &f.LastRunStatus, &f.CreatedAt, &f.UpdatedAt)
		if err != nil {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(f)
	})
	return (&http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}).ListenAndServe()
}
