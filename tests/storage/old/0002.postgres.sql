CREATE TABLE public.attempts (
    id bigint NOT NULL,
    production_id bigint NOT NULL,
    key text NOT NULL,
    state text NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    device text NOT NULL,
    worker text NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint,
    error_type text,
    message text,
    trace text,
    log_tail text,
    failure_digest text,
    forgiven_at bigint
);
CREATE SEQUENCE public.attempts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.attempts_id_seq OWNED BY public.attempts.id;
CREATE TABLE public.clips (
    key text NOT NULL,
    spec_json text NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.holds (
    id bigint NOT NULL,
    film text NOT NULL,
    shot text NOT NULL,
    chain_key text NOT NULL,
    reason text NOT NULL,
    failure_digest text NOT NULL,
    created_at bigint NOT NULL,
    released_at bigint
);
CREATE SEQUENCE public.holds_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.holds_id_seq OWNED BY public.holds.id;
CREATE TABLE public.leases (
    resource text NOT NULL,
    fence bigint NOT NULL,
    host text,
    machine text,
    pid bigint,
    pid_started bigint,
    acquired_at bigint,
    expires_at bigint,
    ttl bigint
);
CREATE TABLE public.longtake_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.pins (
    id bigint NOT NULL,
    film text NOT NULL,
    shot text NOT NULL,
    clip integer NOT NULL,
    key text NOT NULL,
    note text NOT NULL,
    created_at bigint NOT NULL,
    removed_at bigint
);
CREATE SEQUENCE public.pins_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.pins_id_seq OWNED BY public.pins.id;
CREATE TABLE public.prints (
    take_file text NOT NULL,
    print_key text NOT NULL,
    file text NOT NULL,
    bytes bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.productions (
    id bigint NOT NULL,
    film text NOT NULL,
    title text NOT NULL,
    storyboard_path text NOT NULL,
    storyboard_digest text NOT NULL,
    plan_json text NOT NULL,
    state text NOT NULL,
    message text,
    fence bigint,
    host text NOT NULL,
    pid bigint NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint
);
CREATE SEQUENCE public.productions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.productions_id_seq OWNED BY public.productions.id;
CREATE TABLE public.retakes (
    film text NOT NULL,
    shot text NOT NULL,
    take integer NOT NULL,
    seed text NOT NULL,
    note text NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.slates (
    production_id bigint NOT NULL,
    shot text NOT NULL,
    clip integer NOT NULL,
    take integer NOT NULL,
    "position" integer NOT NULL,
    key text NOT NULL,
    why text NOT NULL
);
CREATE TABLE public.takes (
    id bigint NOT NULL,
    key text NOT NULL,
    attempt_id bigint NOT NULL,
    state text NOT NULL,
    video text NOT NULL,
    latents text NOT NULL,
    tail text,
    frames integer NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    frames_digest text NOT NULL,
    nfe bigint NOT NULL,
    seconds_json text NOT NULL,
    bytes bigint NOT NULL,
    model_digest text NOT NULL,
    device text NOT NULL,
    code_version text NOT NULL,
    environment_json text NOT NULL,
    accepted_at bigint NOT NULL,
    dropped_at bigint,
    drop_reason text
);
CREATE SEQUENCE public.takes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.takes_id_seq OWNED BY public.takes.id;
CREATE TABLE public.verdicts (
    id bigint NOT NULL,
    film text NOT NULL,
    shot text NOT NULL,
    clip integer NOT NULL,
    key text NOT NULL,
    verdict text NOT NULL,
    note text NOT NULL,
    created_at bigint NOT NULL,
    replaced_at bigint
);
CREATE SEQUENCE public.verdicts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.verdicts_id_seq OWNED BY public.verdicts.id;
CREATE TABLE public.versions (
    id bigint NOT NULL,
    production_id bigint NOT NULL,
    film text NOT NULL,
    path text NOT NULL,
    file_digest text NOT NULL,
    frames bigint NOT NULL,
    fps text NOT NULL,
    cut_json text NOT NULL,
    lineage_json text NOT NULL,
    created_at bigint NOT NULL
);
CREATE SEQUENCE public.versions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.versions_id_seq OWNED BY public.versions.id;
ALTER TABLE ONLY public.attempts ALTER COLUMN id SET DEFAULT nextval('public.attempts_id_seq'::regclass);
ALTER TABLE ONLY public.holds ALTER COLUMN id SET DEFAULT nextval('public.holds_id_seq'::regclass);
ALTER TABLE ONLY public.pins ALTER COLUMN id SET DEFAULT nextval('public.pins_id_seq'::regclass);
ALTER TABLE ONLY public.productions ALTER COLUMN id SET DEFAULT nextval('public.productions_id_seq'::regclass);
ALTER TABLE ONLY public.takes ALTER COLUMN id SET DEFAULT nextval('public.takes_id_seq'::regclass);
ALTER TABLE ONLY public.verdicts ALTER COLUMN id SET DEFAULT nextval('public.verdicts_id_seq'::regclass);
ALTER TABLE ONLY public.versions ALTER COLUMN id SET DEFAULT nextval('public.versions_id_seq'::regclass);
INSERT INTO public.attempts VALUES (6, 1, '23decd7c972c74a0255cfda2c14811d1b35d501b815a30a779a22d81279a126b', 'running', 'farm1', 32205, 'cuda:0', 'camera ⚓', 1795271132241755, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, 1, 'ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3', 'done', 'farm1', 32205, 'cuda:0', 'camera ⚓', 1795271132241755, 1795271132253315, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (3, 1, 'ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3', 'interrupted', 'farm1', 32205, 'cuda:0', 'camera ⚓', 1795271132241755, 1795271132255867, NULL, 'asked to', NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (4, 1, 'c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4', 'done', 'farm1', 32205, 'cuda:0', 'camera ⚓', 1795271132241755, 1795271132258600, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (5, 1, '7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7', 'done', 'farm1', 32205, 'cuda:0', 'camera ⚓', 1795271132241755, 1795271132262382, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (7, 1, '7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7', 'duplicate', 'farm1', 32205, 'cpu', 'w', 1795271132262789, 1795271132266935, NULL, 'its frames differ from those of take 3: other, accepted 56aa6be6d873bdb0fb81681251730097b13fe852870c4b85e8a7f3d0da998304', NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (2, 1, 'f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222', 'failed', 'farm1', 32205, 'cuda:0', 'camera ⚓', 1795271132241755, 1795271132254692, 'OutOfMemory', 'it''s "full"; -- no
memory', 'Traceback
  ...', 'last\lines', '042e85478465f98e95d2ab1c5f9169bea447eb6d62c550a9bb8d657a4443ff79', 1795271132273708);
INSERT INTO public.clips VALUES ('23decd7c972c74a0255cfda2c14811d1b35d501b815a30a779a22d81279a126b', '{"clip": 6, "of": "dawn"}', 1795271132233584);
INSERT INTO public.clips VALUES ('7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7', '{"clip": 5, "of": "dawn"}', 1795271132233584);
INSERT INTO public.clips VALUES ('c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4', '{"clip": 4, "of": "dawn"}', 1795271132233584);
INSERT INTO public.clips VALUES ('ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3', '{"clip": 3, "of": "dawn"}', 1795271132233584);
INSERT INTO public.clips VALUES ('ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3', '{"clip": 1, "of": "dawn"}', 1795271132233584);
INSERT INTO public.clips VALUES ('f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222', '{"clip": 2, "of": "dawn"}', 1795271132233584);
INSERT INTO public.clips VALUES ('16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548', '{"prompt": "blue, l''été"}', 1795271132282339);
INSERT INTO public.holds VALUES (1, 'harbour', 'dawn', 'f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222', 'failed 3 times', 'digest', 1795271132272514, 1795271132273708);
INSERT INTO public.holds VALUES (2, 'harbour', 'dawn', 'ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3', 'failed again', 'digest', 1795271132278123, NULL);
INSERT INTO public.leases VALUES ('film:harbour', 1, NULL, 'a machine', 32205, 1330588, 1795271132226550, 1795271162226550, 30000000);
INSERT INTO public.leases VALUES ('film:lost', 1, NULL, 'a machine', 32205, 1330588, 1795271132285212, 1795271162285212, 30000000);
INSERT INTO public.longtake_version VALUES ('0002');
INSERT INTO public.pins VALUES (1, 'night', 'dawn', 1, '16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548', 'the gull''s right', 1795271132288189, NULL);
INSERT INTO public.prints VALUES ('sha256-1c5245164657625405eeed8c6e16bda8de2788cdd04c3fc3cd82f156fd04e652.mkv', 'h264', 'sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.mp4', 77, 1795271132267486);
INSERT INTO public.productions VALUES (1, 'harbour', 'The harbour', 'harbour.yaml', 'sha256:1', '{}', 'partial', '1 shot is missing', 1, 'farm1', 32205, 1795271132233584, 1795271132280194);
INSERT INTO public.productions VALUES (2, 'night', 'Night ✨', 'n.yaml', 'sha256:2', '{"plan": 2}', 'running', NULL, NULL, 'farm1', 32205, 1795271132282339, NULL);
INSERT INTO public.retakes VALUES ('night', 'dawn', 2, '18446744073709551617', 'more wind', 1795271132296419);
INSERT INTO public.slates VALUES (1, 'dawn', 1, 1, 0, 'ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3', 'new');
INSERT INTO public.slates VALUES (1, 'dawn', 2, 1, 1, 'f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222', 'new');
INSERT INTO public.slates VALUES (1, 'dawn', 3, 1, 2, 'ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3', 'new');
INSERT INTO public.slates VALUES (1, 'dawn', 4, 1, 3, 'c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4', 'new');
INSERT INTO public.slates VALUES (1, 'dawn', 5, 1, 4, '7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7', 'new');
INSERT INTO public.slates VALUES (1, 'dawn', 6, 1, 5, '23decd7c972c74a0255cfda2c14811d1b35d501b815a30a779a22d81279a126b', 'new');
INSERT INTO public.slates VALUES (2, 'dawn', 1, 2, 0, '16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548', 'prompt changed');
INSERT INTO public.takes VALUES (1, 'ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3', 1, 'accepted', 'sha256-1c5245164657625405eeed8c6e16bda8de2788cdd04c3fc3cd82f156fd04e652.mkv', 'sha256-69cc59d037dac7b8f1fe9c5e9fdd2db689d1ebf309858ce732f90d1c14e4e0c5.safetensors', 'sha256-e138a8caa336ce9f0e304544b9bb12066f7b98e334ef6523efc52cd3050ceabd.safetensors', 16, 64, 48, 'bfb611e6122cadd0258f41fe944fe85c8b0bce6f6f3e0396c2dc229a9fccef31', 50, '{"network": 1.5, "total": 2.0}', 12345, 'sha256:pocket', 'cuda:0', '0.1.0', '{"cores": 2, "torch": "2.13"}', 1795271132251245, NULL, NULL);
INSERT INTO public.takes VALUES (2, 'c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4', 4, 'damaged', 'sha256-ca63d0c3cf19fad1e0fc300c2856eeece5e1132c5cdc6945a3639c977eaf78cb.mkv', 'sha256-2c7d8a922eb68d8458a4d0d31efa307797fb856bf7fa34c360c1f5aa4bfe41b4.safetensors', NULL, 16, 64, 48, '0ecc3d1476fb8c0e9461af63d2d5290086eae0ffdec1f4eba8d29a2c32059e52', 50, '{"network": 1.5, "total": 2.0}', 12345, 'sha256:pocket', 'cuda:0', '0.1.0', '{"cores": 2, "torch": "2.13"}', 1795271132257968, 1795271132259360, 'altered');
INSERT INTO public.takes VALUES (3, '7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7', 5, 'accepted', 'sha256-21c74fb827e2a0ec46c1a4ad1154bfb80b5bcb0a10bfc5ae8805e734a47bc934.mkv', 'sha256-f58ed50d13447bcd6b1d5eb25be481efa72bc607544b91bd202c0ad1a6887f1a.safetensors', 'sha256-1203db1d1b8029136eae529930e49bc641795e9f7da3a7e8f52610feaafe8894.safetensors', 16, 64, 48, '56aa6be6d873bdb0fb81681251730097b13fe852870c4b85e8a7f3d0da998304', 50, '{"network": 1.5, "total": 2.0}', 12345, 'sha256:pocket', 'cuda:0', '0.1.0', '{"cores": 2, "torch": "2.13"}', 1795271132261801, NULL, NULL);
INSERT INTO public.verdicts VALUES (1, 'night', 'dawn', 1, '16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548', 'picked', 'calm', 1795271132291308, NULL);
INSERT INTO public.versions VALUES (1, 1, 'harbour', 'films/harbour.mp4', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 99, '24000/1001', '{"cut": 1}', '{"clips": []}', 1795271132270530);
SELECT pg_catalog.setval('public.attempts_id_seq', 7, true);
SELECT pg_catalog.setval('public.holds_id_seq', 2, true);
SELECT pg_catalog.setval('public.pins_id_seq', 1, true);
SELECT pg_catalog.setval('public.productions_id_seq', 2, true);
SELECT pg_catalog.setval('public.takes_id_seq', 3, true);
SELECT pg_catalog.setval('public.verdicts_id_seq', 1, true);
SELECT pg_catalog.setval('public.versions_id_seq', 1, true);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.clips
    ADD CONSTRAINT clips_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (resource);
ALTER TABLE ONLY public.longtake_version
    ADD CONSTRAINT longtake_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.pins
    ADD CONSTRAINT pins_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.prints
    ADD CONSTRAINT prints_pkey PRIMARY KEY (take_file, print_key);
ALTER TABLE ONLY public.productions
    ADD CONSTRAINT productions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.retakes
    ADD CONSTRAINT retakes_pkey PRIMARY KEY (film, shot, take);
ALTER TABLE ONLY public.slates
    ADD CONSTRAINT slates_pkey PRIMARY KEY (production_id, shot, clip, take);
ALTER TABLE ONLY public.takes
    ADD CONSTRAINT takes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.verdicts
    ADD CONSTRAINT verdicts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (id);
CREATE INDEX attempts_by_key ON public.attempts USING btree (key, id);
CREATE INDEX attempts_by_production ON public.attempts USING btree (production_id, state);
CREATE UNIQUE INDEX holds_one_open ON public.holds USING btree (film, shot, chain_key) WHERE (released_at IS NULL);
CREATE UNIQUE INDEX pins_one_a_place ON public.pins USING btree (film, shot, clip) WHERE (removed_at IS NULL);
CREATE INDEX productions_by_film ON public.productions USING btree (film, id);
CREATE INDEX slates_by_key ON public.slates USING btree (key);
CREATE INDEX takes_by_model ON public.takes USING btree (model_digest, device, id);
CREATE INDEX takes_by_tail ON public.takes USING btree (tail);
CREATE UNIQUE INDEX takes_one_accepted ON public.takes USING btree (key) WHERE (state = 'accepted'::text);
CREATE UNIQUE INDEX verdicts_one_a_take ON public.verdicts USING btree (film, shot, clip, key) WHERE (replaced_at IS NULL);
CREATE UNIQUE INDEX verdicts_one_picked ON public.verdicts USING btree (film, shot, clip) WHERE ((replaced_at IS NULL) AND (verdict = 'picked'::text));
CREATE INDEX versions_by_digest ON public.versions USING btree (file_digest);
CREATE INDEX versions_by_film ON public.versions USING btree (film, id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_key_fkey FOREIGN KEY (key) REFERENCES public.clips(key);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_production_id_fkey FOREIGN KEY (production_id) REFERENCES public.productions(id);
ALTER TABLE ONLY public.pins
    ADD CONSTRAINT pins_key_fkey FOREIGN KEY (key) REFERENCES public.clips(key);
ALTER TABLE ONLY public.slates
    ADD CONSTRAINT slates_key_fkey FOREIGN KEY (key) REFERENCES public.clips(key);
ALTER TABLE ONLY public.slates
    ADD CONSTRAINT slates_production_id_fkey FOREIGN KEY (production_id) REFERENCES public.productions(id);
ALTER TABLE ONLY public.takes
    ADD CONSTRAINT takes_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES public.attempts(id);
ALTER TABLE ONLY public.takes
    ADD CONSTRAINT takes_key_fkey FOREIGN KEY (key) REFERENCES public.clips(key);
ALTER TABLE ONLY public.verdicts
    ADD CONSTRAINT verdicts_key_fkey FOREIGN KEY (key) REFERENCES public.clips(key);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_production_id_fkey FOREIGN KEY (production_id) REFERENCES public.productions(id);
