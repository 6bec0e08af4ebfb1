import type { ReactNode } from "react";
import { Logo } from "../../ui/logo";
import classes from "./auth-card.module.css";

export function AuthCard({ title, lead, children }: { title: string; lead: ReactNode; children: ReactNode }) {
  return (
    <main className={classes.page}>
      <div className={classes.card}>
        <div className={classes.brand}>
          <Logo size={28} />
          <span>
            llmctl <b>Studio</b>
          </span>
        </div>
        <h1>{title}</h1>
        <p>{lead}</p>
        {children}
      </div>
    </main>
  );
}
