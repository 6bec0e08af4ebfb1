import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import classes from "./page.module.css";

interface Crumb {
  label: ReactNode;
  to?: string;
}

interface PageProps {
  /** What the browser tab says. */
  title: string;
  crumbs?: Crumb[];
  actions?: ReactNode;
  /** The content fills the window and scrolls inside. */
  full?: boolean;
  narrow?: boolean;
  children: ReactNode;
}

/** A page: its slim header with breadcrumb and actions, and its content. */
export function PageFrame({ title, crumbs, actions, full, narrow, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · llmctl Studio`;
  }, [title]);
  const trail = crumbs ?? [{ label: title }];
  return (
    <div className={classes.page} data-full={full || undefined}>
      <header className={classes.header}>
        <nav aria-label="Breadcrumb" className={classes.crumbs}>
          {trail.map((crumb, i) => {
            const last = i === trail.length - 1;
            return (
              <span key={typeof crumb.label === "string" ? crumb.label : i} className={classes.crumb}>
                {crumb.to ? <Link to={crumb.to}>{crumb.label}</Link> : <h1>{crumb.label}</h1>}
                {!last && <span aria-hidden>/</span>}
              </span>
            );
          })}
        </nav>
        <div className={classes.actions}>{actions}</div>
      </header>
      <main className={classes.content} data-narrow={narrow || undefined}>
        {children}
      </main>
    </div>
  );
}

export function Section({
  title,
  actions,
  children,
}: {
  title: string;
  actions?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className={classes.section}>
      <div className={classes.sectionHead}>
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}
