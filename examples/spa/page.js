// The session is an HttpOnly cookie: this script never sees it, and has nothing to store or refresh.
const find = (id) => document.querySelector(`#${id}`);

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `error ${status}`);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const isForm = body instanceof URLSearchParams;
  const headers = body && !isForm ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(path, {
    method,
    headers,
    body: isForm ? body : body && JSON.stringify(body),
    credentials: "same-origin",
  });
  const text = await answer.text();
  const found = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, found ?? {});
  return found;
}

function show(user, tasks = []) {
  find("sign-in").hidden = Boolean(user);
  find("tasks").hidden = !user;
  find("who").textContent = user?.email ?? "";
  find("list").replaceChildren(
    ...tasks.map((name) => Object.assign(document.createElement("li"), { textContent: name })), // text, never HTML
  );
}

async function look() {
  try {
    show(await ask("GET", "/users/me"), await ask("GET", "/api/tasks"));
  } catch (error) {
    if (error.status !== 401) throw error;
    show(null); // signed out here, in another tab, or on another device
  }
}

const actions = {
  "sign-up": (form) => ask("POST", "/auth/register", { email: form.get("username"), password: form.get("password") }),
  "sign-in": () => null,
};

// What is submitted or clicked is done, then the page looks at what holds now; what was refused is said.
function on(element, event, work) {
  element.addEventListener(event, async (happened) => {
    happened.preventDefault();
    find("message").textContent = "";
    try {
      await work(happened);
    } catch (error) {
      find("message").textContent = error.message;
    }
    await look();
  });
}

on(find("sign-in"), "submit", async ({ target, submitter }) => {
  const form = new FormData(target);
  await actions[submitter.value](form);
  await ask("POST", "/auth/login?deliver=cookie", new URLSearchParams(form));
  target.reset();
});
on(find("add"), "submit", async ({ target }) => {
  await ask("POST", "/api/tasks", { name: new FormData(target).get("name") });
  target.reset();
});
on(find("sign-out"), "click", () => ask("POST", "/auth/logout"));
document.addEventListener("visibilitychange", () => document.hidden || look()); // a sign-out in another tab
look();
