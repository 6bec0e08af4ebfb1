// A PostgreSQL with pgvector and pg_trgm on a free port of the loopback. Says "port <n>" when it listens, and ends with
// its standard input.
import { PGlite } from "@electric-sql/pglite";
import { pg_trgm } from "@electric-sql/pglite/contrib/pg_trgm";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

const db = await PGlite.create({ extensions: { vector, pg_trgm } });
const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0, maxConnections: 8 });
server.addEventListener("listening", (event) => {
  console.log(`port ${event.detail.port}`);
});
await server.start();
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
