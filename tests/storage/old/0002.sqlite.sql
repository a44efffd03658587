BEGIN TRANSACTION;
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	production_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	state TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid BIGINT NOT NULL, 
	device TEXT NOT NULL, 
	worker TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	error_type TEXT, 
	message TEXT, 
	trace TEXT, 
	log_tail TEXT, 
	failure_digest TEXT, 
	forgiven_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(production_id) REFERENCES productions (id), 
	FOREIGN KEY("key") REFERENCES clips ("key")
);
INSERT INTO "attempts" VALUES(1,1,'ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3','done','farm1',32205,'cuda:0','camera ⚓',1795271132015058,1795271132020982,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(2,1,'f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222','failed','farm1',32205,'cuda:0','camera ⚓',1795271132015058,1795271132022648,'OutOfMemory','it''s "full"; -- no
memory','Traceback
  ...','last\lines','042e85478465f98e95d2ab1c5f9169bea447eb6d62c550a9bb8d657a4443ff79',1795271132031854);
INSERT INTO "attempts" VALUES(3,1,'ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3','interrupted','farm1',32205,'cuda:0','camera ⚓',1795271132015058,1795271132023346,NULL,'asked to',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(4,1,'c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4','done','farm1',32205,'cuda:0','camera ⚓',1795271132015058,1795271132024171,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(5,1,'7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7','done','farm1',32205,'cuda:0','camera ⚓',1795271132015058,1795271132025807,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(6,1,'23decd7c972c74a0255cfda2c14811d1b35d501b815a30a779a22d81279a126b','running','farm1',32205,'cuda:0','camera ⚓',1795271132015058,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(7,1,'7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7','duplicate','farm1',32205,'cpu','w',1795271132026274,1795271132027880,NULL,'its frames differ from those of take 3: other, accepted 56aa6be6d873bdb0fb81681251730097b13fe852870c4b85e8a7f3d0da998304',NULL,NULL,NULL,NULL);
CREATE TABLE clips (
	"key" TEXT NOT NULL, 
	spec_json TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "clips" VALUES('23decd7c972c74a0255cfda2c14811d1b35d501b815a30a779a22d81279a126b','{"clip": 6, "of": "dawn"}',1795271132011228);
INSERT INTO "clips" VALUES('7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7','{"clip": 5, "of": "dawn"}',1795271132011228);
INSERT INTO "clips" VALUES('c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4','{"clip": 4, "of": "dawn"}',1795271132011228);
INSERT INTO "clips" VALUES('ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3','{"clip": 3, "of": "dawn"}',1795271132011228);
INSERT INTO "clips" VALUES('ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3','{"clip": 1, "of": "dawn"}',1795271132011228);
INSERT INTO "clips" VALUES('f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222','{"clip": 2, "of": "dawn"}',1795271132011228);
INSERT INTO "clips" VALUES('16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548','{"prompt": "blue, l''été"}',1795271132036157);
CREATE TABLE holds (
	id INTEGER NOT NULL, 
	film TEXT NOT NULL, 
	shot TEXT NOT NULL, 
	chain_key TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	failure_digest TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	released_at BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "holds" VALUES(1,'harbour','dawn','f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222','failed 3 times','digest',1795271132031268,1795271132031854);
INSERT INTO "holds" VALUES(2,'harbour','dawn','ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3','failed again','digest',1795271132034367,NULL);
CREATE TABLE leases (
	resource TEXT NOT NULL, 
	fence BIGINT NOT NULL, 
	host TEXT, 
	machine TEXT, 
	pid BIGINT, 
	pid_started BIGINT, 
	acquired_at BIGINT, 
	expires_at BIGINT, ttl BIGINT, 
	PRIMARY KEY (resource)
);
INSERT INTO "leases" VALUES('film:harbour',1,NULL,'a machine',32205,1330588,1795271132004453,1795271162004453,30000000);
INSERT INTO "leases" VALUES('film:lost',1,NULL,'a machine',32205,1330588,1795271132037654,1795271162037654,30000000);
CREATE TABLE longtake_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT longtake_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "longtake_version" VALUES('0002');
CREATE TABLE pins (
	id INTEGER NOT NULL, 
	film TEXT NOT NULL, 
	shot TEXT NOT NULL, 
	clip INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	note TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	removed_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY("key") REFERENCES clips ("key")
);
INSERT INTO "pins" VALUES(1,'night','dawn',1,'16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548','the gull''s right',1795271132039090,NULL);
CREATE TABLE prints (
	take_file TEXT NOT NULL, 
	print_key TEXT NOT NULL, 
	file TEXT NOT NULL, 
	bytes BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (take_file, print_key)
);
INSERT INTO "prints" VALUES('sha256-1c5245164657625405eeed8c6e16bda8de2788cdd04c3fc3cd82f156fd04e652.mkv','h264','sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.mp4',77,1795271132028443);
CREATE TABLE productions (
	id INTEGER NOT NULL, 
	film TEXT NOT NULL, 
	title TEXT NOT NULL, 
	storyboard_path TEXT NOT NULL, 
	storyboard_digest TEXT NOT NULL, 
	plan_json TEXT NOT NULL, 
	state TEXT NOT NULL, 
	message TEXT, 
	fence BIGINT, 
	host TEXT NOT NULL, 
	pid BIGINT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "productions" VALUES(1,'harbour','The harbour','harbour.yaml','sha256:1','{}','partial','1 shot is missing',1,'farm1',32205,1795271132011228,1795271132034996);
INSERT INTO "productions" VALUES(2,'night','Night ✨','n.yaml','sha256:2','{"plan": 2}','running',NULL,NULL,'farm1',32205,1795271132036157,NULL);
CREATE TABLE retakes (
	film TEXT NOT NULL, 
	shot TEXT NOT NULL, 
	take INTEGER NOT NULL, 
	seed TEXT NOT NULL, 
	note TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (film, shot, take)
);
INSERT INTO "retakes" VALUES('night','dawn',2,'18446744073709551617','more wind',1795271132043570);
CREATE TABLE slates (
	production_id INTEGER NOT NULL, 
	shot TEXT NOT NULL, 
	clip INTEGER NOT NULL, 
	take INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	why TEXT NOT NULL, 
	PRIMARY KEY (production_id, shot, clip, take), 
	FOREIGN KEY(production_id) REFERENCES productions (id), 
	FOREIGN KEY("key") REFERENCES clips ("key")
);
INSERT INTO "slates" VALUES(1,'dawn',1,1,0,'ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3','new');
INSERT INTO "slates" VALUES(1,'dawn',2,1,1,'f2cac83984593e44dfc44ba01ed6a47675445dcb333b03e5351c527094fc2222','new');
INSERT INTO "slates" VALUES(1,'dawn',3,1,2,'ccb5f4ec2da97118f2a6bb24160da016c8042685a8e5442703fc8176f1e07ba3','new');
INSERT INTO "slates" VALUES(1,'dawn',4,1,3,'c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4','new');
INSERT INTO "slates" VALUES(1,'dawn',5,1,4,'7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7','new');
INSERT INTO "slates" VALUES(1,'dawn',6,1,5,'23decd7c972c74a0255cfda2c14811d1b35d501b815a30a779a22d81279a126b','new');
INSERT INTO "slates" VALUES(2,'dawn',1,2,0,'16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548','prompt changed');
CREATE TABLE takes (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	attempt_id INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	video TEXT NOT NULL, 
	latents TEXT NOT NULL, 
	tail TEXT, 
	frames INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	frames_digest TEXT NOT NULL, 
	nfe BIGINT NOT NULL, 
	seconds_json TEXT NOT NULL, 
	bytes BIGINT NOT NULL, 
	model_digest TEXT NOT NULL, 
	device TEXT NOT NULL, 
	code_version TEXT NOT NULL, 
	environment_json TEXT NOT NULL, 
	accepted_at BIGINT NOT NULL, 
	dropped_at BIGINT, 
	drop_reason TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY("key") REFERENCES clips ("key"), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
INSERT INTO "takes" VALUES(1,'ef457b3405fd799794d7320e96ce843efb9f093526c13299aba02072a78810c3',1,'accepted','sha256-1c5245164657625405eeed8c6e16bda8de2788cdd04c3fc3cd82f156fd04e652.mkv','sha256-69cc59d037dac7b8f1fe9c5e9fdd2db689d1ebf309858ce732f90d1c14e4e0c5.safetensors','sha256-e138a8caa336ce9f0e304544b9bb12066f7b98e334ef6523efc52cd3050ceabd.safetensors',16,64,48,'bfb611e6122cadd0258f41fe944fe85c8b0bce6f6f3e0396c2dc229a9fccef31',50,'{"network": 1.5, "total": 2.0}',12345,'sha256:pocket','cuda:0','0.1.0','{"cores": 2, "torch": "2.13"}',1795271132019795,NULL,NULL);
INSERT INTO "takes" VALUES(2,'c40a331bdefe0bdb2df3424e8fcfa564ef6cacf79d99b4595d3f31b7b2b6e9d4',4,'damaged','sha256-ca63d0c3cf19fad1e0fc300c2856eeece5e1132c5cdc6945a3639c977eaf78cb.mkv','sha256-2c7d8a922eb68d8458a4d0d31efa307797fb856bf7fa34c360c1f5aa4bfe41b4.safetensors',NULL,16,64,48,'0ecc3d1476fb8c0e9461af63d2d5290086eae0ffdec1f4eba8d29a2c32059e52',50,'{"network": 1.5, "total": 2.0}',12345,'sha256:pocket','cuda:0','0.1.0','{"cores": 2, "torch": "2.13"}',1795271132024015,1795271132024824,'altered');
INSERT INTO "takes" VALUES(3,'7def7e27ee6187c8bcae5cd0350fa36b9d1d4dfe103d7d4a7ed5fa90f949d0e7',5,'accepted','sha256-21c74fb827e2a0ec46c1a4ad1154bfb80b5bcb0a10bfc5ae8805e734a47bc934.mkv','sha256-f58ed50d13447bcd6b1d5eb25be481efa72bc607544b91bd202c0ad1a6887f1a.safetensors','sha256-1203db1d1b8029136eae529930e49bc641795e9f7da3a7e8f52610feaafe8894.safetensors',16,64,48,'56aa6be6d873bdb0fb81681251730097b13fe852870c4b85e8a7f3d0da998304',50,'{"network": 1.5, "total": 2.0}',12345,'sha256:pocket','cuda:0','0.1.0','{"cores": 2, "torch": "2.13"}',1795271132025685,NULL,NULL);
CREATE TABLE verdicts (
	id INTEGER NOT NULL, 
	film TEXT NOT NULL, 
	shot TEXT NOT NULL, 
	clip INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	note TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	replaced_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY("key") REFERENCES clips ("key")
);
INSERT INTO "verdicts" VALUES(1,'night','dawn',1,'16477688c0e00699c6cfa4497a3612d7e83c532062b64b250fed8908128ed548','picked','calm',1795271132040733,NULL);
CREATE TABLE versions (
	id INTEGER NOT NULL, 
	production_id INTEGER NOT NULL, 
	film TEXT NOT NULL, 
	path TEXT NOT NULL, 
	file_digest TEXT NOT NULL, 
	frames BIGINT NOT NULL, 
	fps TEXT NOT NULL, 
	cut_json TEXT NOT NULL, 
	lineage_json TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(production_id) REFERENCES productions (id)
);
INSERT INTO "versions" VALUES(1,1,'harbour','films/harbour.mp4','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',99,'24000/1001','{"cut": 1}','{"clips": []}',1795271132029856);
CREATE INDEX productions_by_film ON productions (film, id);
CREATE INDEX slates_by_key ON slates ("key");
CREATE INDEX attempts_by_key ON attempts ("key", id);
CREATE INDEX attempts_by_production ON attempts (production_id, state);
CREATE INDEX takes_by_model ON takes (model_digest, device, id);
CREATE UNIQUE INDEX takes_one_accepted ON takes ("key") WHERE state = 'accepted';
CREATE INDEX versions_by_film ON versions (film, id);
CREATE INDEX versions_by_digest ON versions (file_digest);
CREATE UNIQUE INDEX holds_one_open ON holds (film, shot, chain_key) WHERE released_at IS NULL;
CREATE INDEX takes_by_tail ON takes (tail);
CREATE UNIQUE INDEX pins_one_a_place ON pins (film, shot, clip) WHERE removed_at IS NULL;
CREATE UNIQUE INDEX verdicts_one_a_take ON verdicts (film, shot, clip, "key") WHERE replaced_at IS NULL;
CREATE UNIQUE INDEX verdicts_one_picked ON verdicts (film, shot, clip) WHERE replaced_at IS NULL AND verdict = 'picked';
COMMIT;
