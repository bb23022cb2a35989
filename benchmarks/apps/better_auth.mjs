// better-auth on Node with its cookie cache: the session is read in every request, as its documentation shows it.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { fromNodeHeaders, toNodeHandler } from "better-auth/node";

const port = Number(process.argv[2]);
const auth = betterAuth({
  secret: "a secret of more than thirty-two bytes, for benchmarks only",
  baseURL: `http://127.0.0.1:${port}`,
  database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
  emailAndPassword: { enabled: true },
  session: { cookieCache: { enabled: true, maxAge: 3600 } },
  rateLimit: { enabled: false },
});
const handle = toNodeHandler(auth);

createServer(async (request, response) => {
  if (request.url.startsWith("/api/auth")) return handle(request, response);
  if (request.url === "/protected") {
    const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
    if (!session) return response.writeHead(401).end();
  }
  response.writeHead(200, { "content-type": "application/json" }).end('"hello"');
}).listen(port, "127.0.0.1");
