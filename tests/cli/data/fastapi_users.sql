-- What an app as fastapi-users' documentation shows it (15.0.5, SQLAlchemy, UUID keys) left in its database.
-- Ada's token of it: eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkNDhjNGQ2Ny0zMjEyLTRlMjAtYTdjNS0wZWNlOWEzYjMxZDUiLCJhdWQiOlsiZmFzdGFwaS11c2VyczphdXRoIl0sImV4cCI6NDk0OTIxNTk2Mn0.CM3U6XQVGXQqxdF8KbnsK8N8DCwHv0KEtLvZwUhzfVI
BEGIN TRANSACTION;
CREATE TABLE user (
	id CHAR(36) NOT NULL, 
	email VARCHAR(320) NOT NULL, 
	hashed_password VARCHAR(1024) NOT NULL, 
	is_active BOOLEAN NOT NULL, 
	is_superuser BOOLEAN NOT NULL, 
	is_verified BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "user" VALUES('d48c4d67-3212-4e20-a7c5-0ece9a3b31d5','ada@example.com','$argon2id$v=19$m=65536,t=3,p=4$g/TGKvrr5oD7ACyDEe47qQ$4LIHxx9lqlnPb1k0WU8vQ6RAa5SwOPcvLtu61gRsjc4',1,1,1);
INSERT INTO "user" VALUES('82f124bb-c76b-436b-810c-c4d5a150a26a','Bea@example.com','$argon2id$v=19$m=65536,t=3,p=4$hDSN3Tvf8n3Vdd2oM4GTeg$9OkKUHyGkm3IZxugQ3icTX02PJh7dVF8eEfkPFAAB4U',1,0,0);
INSERT INTO "user" VALUES('023acb6f-b5b6-4db1-85ca-0dfc2439dd15','cleo@example.com','$2b$04$TuWjkKU9em/0ovMbkHNSCufG2wFYeVz6QApvw8gPl/qCP1V.vM4HO',1,0,0);
INSERT INTO "user" VALUES('5336b231-d960-437a-9ab3-5277c26361ba','dan@example.com','$argon2id$v=19$m=65536,t=3,p=4$Zu2eZPN7eZsXk+ndmpfHDw$eWpJeGSFsKQJ1sKnmh8Gh93MKMap4VZ/2cbkkrNUKLU',0,0,0);
CREATE UNIQUE INDEX ix_user_email ON user (email);
COMMIT;
