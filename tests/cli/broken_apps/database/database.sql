CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT, password TEXT);
INSERT INTO members (name, password) VALUES ('ann', 'summer2024'), ('bob', '$2b$12$EixZaYVK1fsbw1ZfbX3OXe');
CREATE TABLE customers (id INTEGER PRIMARY KEY, hashed_password TEXT);
INSERT INTO customers (hashed_password) VALUES ('$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA');
CREATE TABLE devices (id INTEGER PRIMARY KEY, note TEXT, push VARCHAR(500));
INSERT INTO devices (note, push) VALUES ('a phone', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIiwiZXhwIjo5OX0.c2lnbmF0dXJl');
