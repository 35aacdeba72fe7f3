#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""AWS for 47-aws: a TLS front before ministack that recomputes each signature with botocore, counts, and can misbehave; and its administrator.

aws_rig.py MINISTACK_PORT CERT KEY DIR: writes the ports of front, orders and metadata to DIR/ports. An order is a line, "NAME ARG ..."; the answer is a line too.
"""
import base64, email.utils, http.client, http.server, json, os, re, socketserver, ssl, sys, threading, time
import boto3, botocore.auth, botocore.awsrequest, botocore.credentials, botocore.utils
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

port, cert, key, where = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
ADMIN = dict(region_name='eu-west-1', endpoint_url=f'http://127.0.0.1:{port}', aws_access_key_id='test', aws_secret_access_key='test')
kms, iam, sts = (boto3.client(n, **ADMIN) for n in ('kms', 'iam', 'sts'))
ACCOUNT = 'arn:aws:iam::000000000000'
secrets, counts, bad, seen = {}, {}, [], []
mode, clock = '', 0
lock = threading.Lock()


def recompute(method, path, headers, body):
    """What botocore makes of the same request: '' or what differs."""
    m = re.match(r'AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=(.+)$',
                 headers.get('Authorization', ''))
    if not m or m[1] not in secrets:
        return f'no signature of a key that is known: {m and m[1]}'
    names = m[5].split(';')
    for needed in ('host', 'x-amz-date') + (('x-amz-security-token',) if 'X-Amz-Security-Token' in headers else ()):
        if needed not in names:
            return f'{needed} is not signed'
    request = botocore.awsrequest.AWSRequest(method, 'https://' + headers['Host'] + path, data=body,
                                             headers={n: headers[n] for n in names})
    request.context['timestamp'] = headers['X-Amz-Date']
    sign = botocore.auth.SigV4Auth(botocore.credentials.Credentials(m[1], secrets[m[1]]), m[4], m[3])
    canonical = sign.canonical_request(request)
    if sign.signature(sign.string_to_sign(request, canonical), request) != m[6]:
        return 'botocore signs this otherwise: ' + canonical
    return ''


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_):
        pass
    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + clock, usegmt=True)
    def reply(self, status, body, kind='application/x-amz-json-1.1'):
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def json(self, status, **members):
        self.reply(status, json.dumps(members).encode())
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        web = b'AssumeRoleWithWebIdentity' in body
        op = self.headers.get('X-Amz-Target', 'sts').split('.')[-1]
        with lock:
            counts[op] = counts.get(op, 0) + 1
            if op in ('Encrypt', 'Decrypt'):
                seen.append(json.loads(body))
            wrong = '' if web else recompute('POST', self.path, self.headers, body)
            if wrong:
                bad.append(wrong)
        if mode == 'html':
            return self.reply(403, b'<html><body>403 Forbidden</body></html>', 'text/html')
        if mode == 'throttle':
            return self.json(400, __type='ThrottlingException', message='Rate exceeded')
        if clock and not web:
            at = time.mktime(time.strptime(self.headers['X-Amz-Date'] + ' UTC', '%Y%m%dT%H%M%SZ %Z')) - time.timezone
            if abs(at - time.time() - clock) > 300:
                return self.json(400, __type='InvalidSignatureException', message='Signature expired: it is now earlier than the least')
            return self.json(200, **answers[op](json.loads(body)))
        try:
            to = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
            to.request('POST', self.path, body, {n: v for n, v in self.headers.items() if n != 'Connection'})
            got = to.getresponse()
            data = got.read()
        except OSError:
            self.close_connection = True
            return
        for m in re.finditer(rb'<AccessKeyId>([^<]+)</AccessKeyId>\s*<SecretAccessKey>([^<]+)<', data):
            secrets[m[1].decode()] = m[2].decode()
        if mode == 'other' and got.status == 200 and op == 'Decrypt':
            answer = json.loads(data)
            answer['KeyId'] = answer['KeyId'][:-1] + ('0' if answer['KeyId'][-1] != '0' else '1')
            data = json.dumps(answer).encode()
        self.reply(got.status, data, got.getheader('Content-Type', 'application/x-amz-json-1.1'))


# With a clock that is wrong ministack, which has ours, cannot check the signature: the front has, and asks as the administrator.
answers = {
    'Decrypt': lambda q: plain(kms.decrypt(**{**q, 'CiphertextBlob': base64.b64decode(q['CiphertextBlob'])}), 'Plaintext'),
    'Encrypt': lambda q: plain(kms.encrypt(**{**q, 'Plaintext': base64.b64decode(q['Plaintext'])}), 'CiphertextBlob'),
}


life, metadata, pod_token = 3600, True, 'pod-1'


class Metadata(http.server.BaseHTTPRequestHandler):
    """Instance metadata (IMDSv2) and a container's endpoint, with sessions of the role `machine`."""
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_):
        pass
    def reply(self, status, text=''):
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def session(self, **more):
        with lock:
            counts['session'] = counts.get('session', 0) + 1
        s = sts.assume_role(RoleArn=ACCOUNT + ':role/machine', RoleSessionName='machine')['Credentials']
        secrets[s['AccessKeyId']] = s['SecretAccessKey']
        ends = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + life))
        self.reply(200, json.dumps({**more, 'AccessKeyId': s['AccessKeyId'], 'SecretAccessKey': s['SecretAccessKey'],
                                    'Token': s['SessionToken'], 'Expiration': ends}))
    def do_PUT(self):
        good = self.path == '/latest/api/token' and self.headers.get('X-aws-ec2-metadata-token-ttl-seconds')
        self.reply(200, 'metadata-token==') if good and metadata else self.reply(403)
    def do_GET(self):
        roles = '/latest/meta-data/iam/security-credentials/'
        if self.path == '/pod':
            good = metadata and self.headers.get('Authorization') == pod_token
            return self.session() if good else self.reply(401)
        if not metadata or self.headers.get('X-aws-ec2-metadata-token') != 'metadata-token==':
            return self.reply(401)
        if self.path == roles:
            return self.reply(200, 'machine')
        return self.session(Code='Success', Type='AWS-HMAC', LastUpdated='2026-01-01T00:00:00Z') if self.path == roles + 'machine' else self.reply(404)


def plain(answer, member):
    return {'KeyId': answer['KeyId'], member: base64.b64encode(answer[member]).decode()}


def access_key(user, file):
    """A new access key of USER into FILE, whole; the old ones are deleted."""
    for old in iam.list_access_keys(UserName=user)['AccessKeyMetadata']:
        iam.delete_access_key(UserName=user, AccessKeyId=old['AccessKeyId'])
    new = iam.create_access_key(UserName=user)['AccessKey']
    secrets[new['AccessKeyId']] = new['SecretAccessKey']
    text = f"[default]\naws_access_key_id = {new['AccessKeyId']}\naws_secret_access_key = {new['SecretAccessKey']}\n"
    with open(os.open(file + '.new', os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 'w') as f:
        f.write(text)
    os.rename(file + '.new', file)
    return new['AccessKeyId'] + ' ' + new['SecretAccessKey']


def policy(actions, resource, effect='Allow'):
    return json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': effect, 'Action': actions, 'Resource': resource}]})


class Orders:
    """NAME ARG ... -> one line."""
    def key(self, spec='SYMMETRIC_DEFAULT'):
        return kms.create_key(KeySpec=spec, KeyUsage='ENCRYPT_DECRYPT')['KeyMetadata']['Arn']
    def external(self):
        return kms.create_key(Origin='EXTERNAL')['KeyMetadata']['Arn']
    def material(self, arn):
        """Import the bytes 01 02 .. 20 into it, or import them again."""
        p = kms.get_parameters_for_import(KeyId=arn, WrappingAlgorithm='RSAES_OAEP_SHA_256', WrappingKeySpec='RSA_2048')
        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
        wrapped = serialization.load_der_public_key(p['PublicKey']).encrypt(bytes(range(1, 33)), oaep)
        kms.import_key_material(KeyId=arn, ImportToken=p['ImportToken'], EncryptedKeyMaterial=wrapped, ExpirationModel='KEY_MATERIAL_DOES_NOT_EXPIRE')
    def no_material(self, arn):
        kms.delete_imported_key_material(KeyId=arn)
    def alias(self, name, arn):
        try:
            kms.create_alias(AliasName=name, TargetKeyId=arn)
        except kms.exceptions.AlreadyExistsException:
            kms.update_alias(AliasName=name, TargetKeyId=arn)
    def user(self, name, file):
        iam.create_user(UserName=name)
        return access_key(name, file)
    def rotate(self, name, file):
        return access_key(name, file)
    def key_status(self, name, status):
        for k in iam.list_access_keys(UserName=name)['AccessKeyMetadata']:
            iam.update_access_key(UserName=name, AccessKeyId=k['AccessKeyId'], Status=status)
    def allow(self, name, actions, resource='*'):
        iam.put_user_policy(UserName=name, PolicyName='p', PolicyDocument=policy(actions.split(','), resource))
    def deny(self, name):
        iam.put_user_policy(UserName=name, PolicyName='deny', PolicyDocument=policy(['kms:Decrypt'], '*', 'Deny'))
    def undeny(self, name):
        iam.delete_user_policy(UserName=name, PolicyName='deny')
    def key_policy(self, arn, effect):
        s = [{'Effect': 'Allow', 'Principal': {'AWS': ACCOUNT + ':root'}, 'Action': 'kms:*', 'Resource': '*'}]
        if effect == 'Deny':
            s.append({'Effect': 'Deny', 'Principal': {'AWS': ACCOUNT + ':user/backup'}, 'Action': 'kms:Decrypt', 'Resource': '*'})
        kms.put_key_policy(KeyId=arn, PolicyName='default', Policy=json.dumps({'Version': '2012-10-17', 'Statement': s}))
    def disable(self, arn):
        kms.disable_key(KeyId=arn)
    def enable(self, arn):
        kms.enable_key(KeyId=arn)
    def delete(self, arn):
        kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    def undelete(self, arn):
        kms.cancel_key_deletion(KeyId=arn)
        kms.enable_key(KeyId=arn)
    def role(self, name, by, external):
        trust = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'AWS': f'{ACCOUNT}:user/{by}'},
                 'Action': 'sts:AssumeRole', 'Condition': {'StringEquals': {'sts:ExternalId': external}}}]}
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))['Role']['Arn']
    def machine_role(self, name):
        trust = [{'Effect': 'Allow', 'Principal': {'AWS': ACCOUNT + ':root'}, 'Action': 'sts:AssumeRole'},
                 {'Effect': 'Allow', 'Principal': {'Federated': ACCOUNT + ':oidc-provider/tests'}, 'Action': 'sts:AssumeRoleWithWebIdentity'}]
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': trust}))['Role']['Arn']
    def role_delete(self, name):
        iam.delete_role_policy(RoleName=name, PolicyName='p')
        iam.delete_role(RoleName=name)
    def life(self, seconds):
        global life
        life = int(seconds)
    def metadata(self, on):
        global metadata
        metadata = on == 'on'
    def pod_token(self, text):
        global pod_token
        pod_token = text
    def sdk(self, provider):
        """What botocore itself gets from the same endpoint."""
        base = f'http://127.0.0.1:{meta.server_port}'
        os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = base + '/pod'
        os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN'] = pod_token
        if provider == 'container':
            got = botocore.credentials.ContainerProvider().load()
        else:
            fetcher = botocore.utils.InstanceMetadataFetcher(base_url=base)
            got = botocore.credentials.InstanceMetadataProvider(iam_role_fetcher=fetcher).load()
        return got.get_frozen_credentials().access_key in secrets
    def role_allow(self, name, actions):
        iam.put_role_policy(RoleName=name, PolicyName='p', PolicyDocument=policy(actions.split(','), '*'))
    def mode(self, name=''):
        global mode
        mode = name
    def clock(self, seconds):
        global clock
        clock = int(seconds)
    def count(self, op):
        return counts.get(op, 0)
    def wrong(self):
        return f'{len(bad)} {bad[0]!r}' if bad else '0'
    def questions(self):
        """Of how many: without a KeyId that is a key's or alias's ARN, or without a context where one belongs."""
        poor = [q for q in seen if not re.match(r'arn:aws:kms:[a-z0-9-]+:\d{12}:(key|alias)/', q.get('KeyId', '')) or
                (q['EncryptionAlgorithm'] == 'SYMMETRIC_DEFAULT') != ('EncryptionContext' in q)]
        return f'{len(poor)} {len(seen) > 0}'


class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        name, *args = self.rfile.readline().decode().split()
        try:
            answer = getattr(Orders(), name)(*args)
            self.wfile.write(f'{"ok" if answer is None else answer}\n'.encode())
        except Exception as e:  # pylint: disable=broad-except
            self.wfile.write(f'error {type(e).__name__} {e}\n'.replace('\n', ' ').encode() + b'\n')


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *_):
        pass


front = Server(('127.0.0.1', 0), Front)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_2
context.load_cert_chain(cert, key)
front.socket = context.wrap_socket(front.socket, server_side=True, do_handshake_on_connect=False)
meta = Server(('127.0.0.1', 0), Metadata)
orders = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Talk)
orders.daemon_threads = True
with open(os.path.join(where, 'ports.new'), 'w') as f:
    f.write(f'{front.server_port} {orders.server_address[1]} {meta.server_port}\n')
os.rename(os.path.join(where, 'ports.new'), os.path.join(where, 'ports'))
threading.Thread(target=meta.serve_forever, daemon=True).start()
threading.Thread(target=front.serve_forever, daemon=True).start()
orders.serve_forever()
